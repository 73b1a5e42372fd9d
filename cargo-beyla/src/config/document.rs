//! A file of settings: what it says under a key, and its unknown keys.

use std::path::PathBuf;

use super::keys::{ALL, Key, OWN, WITHOUT_MEANING};
use super::node::{Entry, Node, Position, Value, Wrong, is_key};
use super::source::Source;
use crate::error::Error;

/// Suggestions are at least so alike, by Jaro and Winkler.
const ALIKE: f64 = 0.8;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// That of `--config`.
    File,
    /// The table of a Cargo.toml.
    Manifest(&'static str),
}

/// A file of settings.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
    pub(super) root: Node,
}

impl Document {
    /// What stands under a key.
    pub(super) fn find(&self, path: &str) -> Option<&Node> {
        let own = path.strip_prefix(OWN).and_then(|rest| rest.strip_prefix('.'));
        let outside = own.filter(|_| self.takes_own_keys_at_the_root()).and_then(|own| at(&self.root, own));
        let found = outside.filter(|node| !is_section_of_beyla(path, node)).or_else(|| at(&self.root, path));
        found.filter(|node| !matches!(node.value, Value::Empty))
    }

    /// Whether it says anything but the values of these keys.
    pub(super) fn has_other_than(&self, keys: &[&Key]) -> bool {
        let is_among =
            |entry: &Entry| keys.iter().any(|key| is_key(&entry.key, key.path.rsplit('.').next().unwrap_or(key.path)));
        let Value::Map(entries) = &self.root.value else { return false };
        entries.iter().any(|entry| !is_among(entry))
    }

    /// Where a value stands.
    pub(super) fn source(&self, at: Position) -> Source {
        let path = self.path.clone();
        match self.origin {
            Origin::File => Source::File { path, at },
            Origin::Manifest(table) => Source::Manifest { path, at, table },
        }
    }

    /// The error that says what is wrong with the value of a key.
    pub(super) fn error(&self, key: &str, wrong: Wrong) -> Error {
        let Wrong { at, message, hint } = wrong;
        let message = match self.origin {
            _ if key.is_empty() => message,
            Origin::File => format!("{key}: {message}"),
            Origin::Manifest(table) => {
                let own = key.strip_prefix(OWN).and_then(|rest| rest.strip_prefix('.'));
                format!("{table}.{}: {message}", own.unwrap_or(key))
            }
        };
        Error::Config { place: format!("{}:{at}", self.path.display()), message, hint }
    }

    /// Refuses unknown keys, and returns those that have no meaning here.
    pub(super) fn check(&self) -> Result<Vec<String>, Error> {
        let mut without_meaning = Vec::new();
        match &self.root.value {
            Value::Empty => {}
            Value::Map(entries) => self.check_section("", entries, &mut without_meaning)?,
            Value::Text(_) | Value::List(_) => {
                return Err(self.error("", self.root.expected("keys and their values")));
            }
        }
        Ok(without_meaning)
    }

    fn check_section(&self, section: &str, entries: &[Entry], without_meaning: &mut Vec<String>) -> Result<(), Error> {
        for entry in entries {
            let path = if section.is_empty() { entry.key.clone() } else { format!("{section}.{}", entry.key) };
            // A dot in a key is no way into a section.
            if entry.key.contains('.') {
                return Err(self.unknown(section, entry));
            }
            let known = |known: &str| is_key(&path, known);
            if ALL.iter().any(|key| known(key.path)) || self.is_own_at_the_root(section, entry) {
                continue;
            }
            if WITHOUT_MEANING.iter().any(|path| known(path)) {
                without_meaning.push(path);
                continue;
            }
            let normal = path.replace('-', "_");
            if children(&normal).next().is_none() {
                return Err(self.unknown(section, entry));
            }
            match &entry.node.value {
                Value::Empty => {}
                Value::Map(entries) => self.check_section(&normal, entries, without_meaning)?,
                Value::Text(_) | Value::List(_) => {
                    return Err(self.error(&path, entry.node.expected("a section")));
                }
            }
        }
        Ok(())
    }

    fn unknown(&self, section: &str, entry: &Entry) -> Error {
        let key = entry.key.replace('-', "_");
        let own = children(OWN).filter(|_| section.is_empty() && self.takes_own_keys_at_the_root());
        let alike = children(section).chain(own).map(|known| (strsim::jaro_winkler(known, &key), known));
        let best = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
        // Or it stands in the wrong section.
        let elsewhere = || {
            let mut paths = ALL.iter().map(|known| known.path);
            let path = paths.find(|path| *path == key || path.rsplit('.').next() == Some(&key))?;
            let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
            Some(format!("`{key}` stands in the section `{section}`"))
        };
        let hint = best.map(|(_, known)| format!("did you mean `{known}`?")).or_else(elsewhere);
        let within = if section.is_empty() { String::new() } else { format!(" in the section `{section}`") };
        let key: String = entry.key.chars().take(60).collect();
        self.error("", Wrong { at: entry.at, message: format!("unknown key `{}`{within}", key.escape_debug()), hint })
    }

    fn takes_own_keys_at_the_root(&self) -> bool {
        matches!(self.origin, Origin::Manifest(_))
    }

    fn is_own_at_the_root(&self, section: &str, entry: &Entry) -> bool {
        section.is_empty()
            && self.takes_own_keys_at_the_root()
            && children(OWN).any(|own| is_key(&entry.key, own))
            && !(entry.key == "routes" && matches!(entry.node.value, Value::Map(_)))
    }
}

/// Both have `routes`: ours is a list, Beyla's a section.
fn is_section_of_beyla(path: &str, node: &Node) -> bool {
    path == super::keys::ROUTES.path && matches!(node.value, Value::Map(_))
}

fn at<'a>(mut node: &'a Node, path: &str) -> Option<&'a Node> {
    for part in path.split('.') {
        let Value::Map(entries) = &node.value else { return None };
        node = &entries.iter().find(|entry| is_key(&entry.key, part))?.node;
    }
    Some(node)
}

/// The names of what may stand in a section.
fn children(section: &str) -> impl Iterator<Item = &'static str> {
    let paths = ALL.iter().map(|key| key.path).chain(WITHOUT_MEANING.iter().copied());
    paths.filter_map(move |path| {
        let rest = if section.is_empty() { path } else { path.strip_prefix(section)?.strip_prefix('.')? };
        rest.split('.').next()
    })
}
