//! The environment and the files, the first that says something counts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::document::{Document, Origin};
use super::environment::Environment;
use super::keys::Key;
use super::node::{Node, Wrong};
use super::source::{Setting, Source};
use super::{manifest, yaml};
use crate::error::Error;

/// The variable that names the file where no flag does.
pub(super) const CONFIG_PATH: &str = "BEYLA_CONFIG_PATH";

/// The manifests whose metadata count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifests {
    /// The Cargo.toml of the package that runs.
    pub package: PathBuf,
    /// The Cargo.toml of its workspace.
    pub workspace: PathBuf,
    /// Where several packages are tested, the Cargo.toml of each: their budgets and test groups count, and nothing else.
    pub several: Vec<PathBuf>,
}

/// All below the flags, the highest first.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    pub(super) environment: &'a Environment,
    pub(super) documents: Vec<Document>,
    /// Of several packages: only their budgets and test groups count.
    pub(super) several: Vec<Document>,
}

impl<'a> Layers<'a> {
    /// Reads the files.
    pub(super) fn read(
        config: Option<&Path>,
        environment: &'a Environment,
        manifests: Option<&Manifests>,
    ) -> Result<Self, Error> {
        let named = config.or_else(|| environment.either(CONFIG_PATH).map(|(_, path)| Path::new(path)));
        let (mut documents, mut of_several) = (Vec::new(), Vec::new());
        if let Some(path) = config {
            not_for_cargo(path, manifests.is_some())?;
        }
        if let Some(path) = named {
            documents.push(read_yaml(path, environment)?);
        }
        if let Some(Manifests { package, workspace, several }) = manifests {
            documents.extend(manifest::read(package, manifest::PACKAGE)?);
            documents.extend(manifest::read(workspace, manifest::WORKSPACE)?);
            for path in several.iter().filter(|path| *path != package) {
                of_several.extend(manifest::read(path, manifest::PACKAGE)?);
            }
        }
        Ok(Self { environment, documents, several: of_several })
    }

    /// The value of a key. What is overridden must be valid as well: it will count another day.
    pub(super) fn get<T>(
        &self,
        key: &Key,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Result<Option<Setting<T>>, Error> {
        self.first_of(&[key], parse)
    }

    /// The value of the first of some keys that mean the same, layer by layer.
    pub(super) fn first_of<T>(
        &self,
        keys: &[&Key],
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Result<Option<Setting<T>>, Error> {
        let mut first = None;
        for key in keys {
            first = first.or(self.variable(key, &parse)?);
        }
        for document in &self.documents {
            for key in keys {
                first = first.or(in_document(document, key, &parse)?);
            }
        }
        Ok(first)
    }

    /// The value that a variable gives a key.
    pub(super) fn variable<T>(
        &self,
        key: &Key,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Result<Option<Setting<T>>, Error> {
        let Some((name, value)) = key.variables.iter().find_map(|name| self.environment.either(name)) else {
            return Ok(None);
        };
        let invalid = |message, hint| Error::Config { place: format!("variable {name}"), message, hint };
        let text = value.to_str().ok_or_else(|| invalid("this is not UTF-8".to_owned(), None))?;
        match parse(&Node::text(text)) {
            Ok(value) => Ok(Some(Setting { value, source: Source::Variable(name) })),
            Err(Wrong { message, hint, .. }) => Err(invalid(message, hint)),
        }
    }
}

/// The value that a file gives a key.
pub(super) fn in_document<T>(
    document: &Document,
    key: &Key,
    parse: impl Fn(&Node) -> Result<T, Wrong>,
) -> Result<Option<Setting<T>>, Error> {
    let Some(node) = document.find(key.path) else { return Ok(None) };
    match parse(node) {
        Ok(value) => Ok(Some(Setting { value, source: document.source(node.at) })),
        Err(wrong) => Err(document.error(key.path, wrong)),
    }
}

/// Cargo's own `--config` takes settings; ours names a file. What looks like a setting and is no file was meant for cargo.
fn not_for_cargo(path: &Path, builds: bool) -> Result<(), Error> {
    let text = path.to_string_lossy();
    if !text.contains('=') || path.exists() {
        return Ok(());
    }
    let hint = format!("settings for cargo are given by --cargo-config {text}");
    Err(Error::Config {
        place: "--config".into(),
        message: format!("`{text}` is no file: --config names a file of settings for cargo-beyla"),
        hint: builds.then_some(hint),
    })
}

fn read_yaml(path: &Path, environment: &Environment) -> Result<Document, Error> {
    let unreadable = |source| Error::File { verb: "read", path: path.to_owned(), source };
    let invalid = |message| Error::Config { place: path.display().to_string(), message, hint: None };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more shows that the file is too long.
    file.take(yaml::SIZE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > yaml::SIZE_MAX {
        return Err(invalid(format!("this file is larger than {} KiB", yaml::SIZE_MAX / 1024)));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| invalid(format!("this is not UTF-8 from byte {} on", error.utf8_error().valid_up_to())))?;
    parse_yaml(&text, path, environment)
}

/// A configuration file that has been read.
pub(super) fn parse_yaml(text: &str, path: &Path, environment: &Environment) -> Result<Document, Error> {
    let origin = Origin::File;
    let empty = |root| Document { path: path.to_owned(), origin, root };
    match yaml::parse(text, |name| environment.text(name).map(str::to_owned)) {
        Ok(root) => Ok(empty(root)),
        Err(wrong) => Err(empty(Node::text("")).error("", wrong)),
    }
}
