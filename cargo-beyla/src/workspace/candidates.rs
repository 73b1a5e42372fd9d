//! The targets that could be meant, and the messages for none and for several.

use cargo_metadata::{Package, TargetKind as Cargo};

use super::target::TargetKind;
use crate::error::Error;

/// The packages that `arguments` leave in question.
pub(super) struct Candidates<'a> {
    /// All packages of the workspace.
    pub(super) members: Vec<&'a Package>,
    /// The packages in question.
    pub(super) packages: Vec<&'a Package>,
    /// Whether `-p` was given.
    pub(super) package_named: bool,
}

/// A target that was named and is not there.
pub(super) struct Missing<'a> {
    pub(super) kind: TargetKind,
    pub(super) name: &'a str,
}

impl<'a> Candidates<'a> {
    /// The targets of a kind, each with its package.
    pub(super) fn of(&self, kind: TargetKind) -> impl Iterator<Item = (&'a Package, &'a str)> {
        targets(self.packages.clone(), kind)
    }

    /// `-p` names no package of the workspace.
    pub(super) fn no_package(&self, wanted: &str) -> Error {
        let names: Vec<&str> = self.members.iter().map(|package| package.name.as_str()).collect();
        let hint = did_you_mean("-p", wanted, &names)
            .unwrap_or_else(|| format!("the workspace has these packages: {}", list(&names)));
        Error::Target { message: format!("the workspace has no package `{wanted}`"), hint }
    }

    /// A target was named, and the packages in question have no such target.
    pub(super) fn missing(&self, missing: &Missing<'_>) -> Error {
        let Missing { kind, name } = *missing;
        let message = match self.packages.iter().find(|package| has_library(package, name)) {
            Some(package) => {
                format!("`{name}` is a library, not {}, in package `{}`", with_article(kind), package.name)
            }
            None => format!("no {} `{name}` in {}", kind.noun(), self.describe_packages()),
        };
        let hint = self.missing_hint(missing);
        Error::Target { message, hint }
    }

    fn missing_hint(&self, missing: &Missing<'_>) -> String {
        let Missing { kind, name } = *missing;
        let other_kind = match kind {
            TargetKind::Bin => TargetKind::Example,
            TargetKind::Example => TargetKind::Bin,
        };
        if self.of(other_kind).any(|(_, other)| other == name) {
            return format!("`{name}` is {}: use {} {name}", with_article(other_kind), other_kind.flag());
        }
        if let Some((package, _)) = targets(self.members.clone(), kind).find(|(_, other)| *other == name) {
            return format!("package `{0}` has it: add -p {0}", package.name);
        }
        let names: Vec<&str> = self.of(kind).map(|(_, name)| name).collect();
        did_you_mean(kind.flag(), name, &names).unwrap_or_else(|| self.list_of(kind))
    }

    /// A target was named that several packages have.
    pub(super) fn in_several_packages(&self, kind: TargetKind, name: &str) -> Error {
        let packages: Vec<&str> =
            self.of(kind).filter(|(_, found)| *found == name).map(|(package, _)| package.name.as_str()).collect();
        Error::Target {
            message: format!("several packages have {} `{name}`", with_article(kind)),
            hint: format!("choose the package with -p: {}", list(&packages)),
        }
    }

    /// Nothing was named, and there is nothing to run.
    pub(super) fn no_binary(&self) -> Error {
        let libraries_only = self.packages.iter().any(|package| package.targets.iter().any(is_library));
        let have = if libraries_only { "only a library and no binary" } else { "no binary" };
        Error::Target {
            message: format!("{} {} {have}", self.describe_packages(), self.verb()),
            hint: self.list_of(TargetKind::Bin),
        }
    }

    /// Nothing was named, and there is a choice.
    pub(super) fn several_binaries(&self) -> Error {
        Error::Target {
            message: format!("{} {} several binaries", self.describe_packages(), self.verb()),
            hint: format!("choose one with --bin, or set default-run in Cargo.toml: {}", self.names(TargetKind::Bin)),
        }
    }

    /// The hint that lists the targets of a kind, or what there is instead.
    fn list_of(&self, kind: TargetKind) -> String {
        let here = self.names(kind);
        if !here.is_empty() {
            return format!("choose one with {}: {here}", kind.flag());
        }
        let examples = self.names(TargetKind::Example);
        if kind == TargetKind::Bin && !examples.is_empty() {
            return format!("it has examples, to be chosen with --example: {examples}");
        }
        let mut elsewhere: Vec<&str> =
            targets(self.members.clone(), kind).map(|(package, _)| package.name.as_str()).collect();
        elsewhere.dedup();
        if elsewhere.is_empty() {
            format!("no package of the workspace has {}", with_article(kind))
        } else {
            format!("choose a package that has one with -p: {}", list(&elsewhere))
        }
    }

    /// The names of a kind, each with its package where there are several packages.
    fn names(&self, kind: TargetKind) -> String {
        let names: Vec<String> = self
            .of(kind)
            .map(|(package, name)| match self.packages.len() {
                1 => name.to_owned(),
                _ => format!("{name} (-p {})", package.name),
            })
            .collect();
        names.join(", ")
    }

    fn verb(&self) -> &'static str {
        if self.packages.len() == 1 { "has" } else { "have" }
    }

    fn describe_packages(&self) -> String {
        match (&self.packages[..], self.package_named) {
            ([package], _) => format!("package `{}`", package.name),
            (packages, true) => list(&packages.iter().map(|package| package.id.repr.as_str()).collect::<Vec<_>>()),
            (_, false) => "the workspace's default packages".to_owned(),
        }
    }
}

/// The targets of a kind that can be run, each with its package.
fn targets(packages: Vec<&Package>, kind: TargetKind) -> impl Iterator<Item = (&Package, &str)> {
    packages.into_iter().flat_map(move |package| {
        package.targets.iter().filter(move |target| is_runnable(target, kind)).map(move |t| (package, t.name.as_str()))
    })
}

fn is_runnable(target: &cargo_metadata::Target, kind: TargetKind) -> bool {
    match kind {
        TargetKind::Bin => target.is_bin(),
        // An example may be a library too.
        TargetKind::Example => {
            target.is_kind(Cargo::Example) && target.crate_types.contains(&cargo_metadata::CrateType::Bin)
        }
    }
}

fn is_library(target: &cargo_metadata::Target) -> bool {
    [Cargo::Lib, Cargo::RLib, Cargo::DyLib, Cargo::CDyLib, Cargo::StaticLib, Cargo::ProcMacro]
        .into_iter()
        .any(|kind| target.is_kind(kind))
}

/// Whether a library of the package goes by this name: as its crate's, or as its package's.
fn has_library(package: &Package, name: &str) -> bool {
    package.targets.iter().any(|target| {
        let library = is_library(target) && (target.name == name || package.name.as_str() == name);
        let example =
            target.is_kind(Cargo::Example) && target.name == name && !is_runnable(target, TargetKind::Example);
        library || example
    })
}

fn with_article(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Bin => "a binary",
        TargetKind::Example => "an example",
    }
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}

/// A suggestion as cargo makes it: for a slip of up to three letters, and never for another word.
fn did_you_mean(flag: &str, wanted: &str, names: &[&str]) -> Option<String> {
    let limit = (wanted.chars().count() / 2).clamp(1, 3);
    let (distance, closest) = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= limit).then(|| format!("did you mean {flag} {closest}?"))
}
