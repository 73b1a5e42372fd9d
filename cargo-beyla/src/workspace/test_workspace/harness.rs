//! `harness = false`: targets whose `main` is their own. Cargo's metadata do not say so; the manifest does.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use cargo_metadata::Package;
use serde::Deserialize;

use super::kind::Kind;

/// A manifest that is larger is nobody's.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The sections of a manifest in which it can stand.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Custom {
    lib: Option<Section>,
    #[serde(default)]
    bin: Vec<Section>,
    #[serde(default)]
    test: Vec<Section>,
    #[serde(default)]
    bench: Vec<Section>,
    #[serde(default)]
    example: Vec<Section>,
}

#[derive(Debug, Deserialize)]
struct Section {
    name: Option<String>,
    harness: Option<bool>,
}

impl Section {
    fn is_custom(&self) -> bool {
        self.harness == Some(false)
    }
}

impl Custom {
    /// The targets of a package that bring a `main` of their own; `None` if there are none.
    pub(super) fn of(package: &Package) -> Option<Self> {
        Self::read(package.manifest_path.as_std_path())
    }

    /// A manifest that cannot be read says nothing: cargo has said what is wrong with it.
    fn read(manifest: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(manifest).ok()?.take(SIZE_MAX).read_to_string(&mut text).ok()?;
        let custom: Self = toml::from_str(&text).ok()?;
        let Self { lib, bin, test, bench, example } = &custom;
        let sections = [bin, test, bench, example].into_iter().flatten().chain(lib);
        let any = sections.into_iter().any(Section::is_custom);
        any.then_some(custom)
    }

    /// Whether this target is one.
    pub(super) fn has(&self, kind: Kind, name: &str) -> bool {
        let sections = match kind {
            // A package has one at most, and its name may be the package's.
            Kind::Lib | Kind::ProcMacro => return self.lib.as_ref().is_some_and(Section::is_custom),
            Kind::Bin => &self.bin,
            Kind::Test => &self.test,
            Kind::Bench => &self.bench,
            Kind::Example => &self.example,
        };
        sections.iter().any(|section| section.name.as_deref() == Some(name) && section.is_custom())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fixture::{package, workspace};

    #[test]
    fn targets_with_a_main_of_their_own_are_told() {
        let rest = "[lib]\nharness = false\n[[test]]\nname = \"own\"\nharness = false\n[[test]]\nname = \"usual\"\n\
                    [[bench]]\nname = \"own\"\nharness = true";
        let root = workspace(&[("Cargo.toml", &package("site", rest))]);
        let custom = Custom::read(&root.path().join("Cargo.toml")).expect("there are some");
        assert!(custom.has(Kind::Lib, "site"));
        assert!(custom.has(Kind::Test, "own"));
        for (kind, name) in [(Kind::Test, "usual"), (Kind::Test, "other"), (Kind::Bench, "own"), (Kind::Bin, "own")] {
            assert!(!custom.has(kind, name), "{name}");
        }
    }

    #[test]
    fn most_packages_have_none() {
        let root = workspace(&[("Cargo.toml", &package("site", "[[test]]\nname = \"usual\""))]);
        assert!(Custom::read(&root.path().join("Cargo.toml")).is_none());
        assert!(Custom::read(&root.path().join("nowhere.toml")).is_none());
    }
}
