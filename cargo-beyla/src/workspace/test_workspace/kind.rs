//! What a test binary was built from.

use cargo_metadata::{Artifact, TargetKind as Cargo};

/// What a test binary was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lib,
    ProcMacro,
    Bin,
    Test,
    Bench,
    Example,
}

impl Kind {
    pub(super) fn of(artifact: &Artifact) -> Self {
        let is = |kind: Cargo| artifact.target.is_kind(kind);
        if is(Cargo::Bin) {
            Self::Bin
        } else if is(Cargo::Test) {
            Self::Test
        } else if is(Cargo::Bench) {
            Self::Bench
        } else if is(Cargo::Example) {
            Self::Example
        } else if is(Cargo::ProcMacro) {
            Self::ProcMacro
        } else {
            // A library has as many kinds as crate types.
            Self::Lib
        }
    }

    /// The binary's id, the same as cargo-nextest's.
    pub(super) fn id(self, package: &str, target: &str) -> String {
        match self {
            Self::Lib => package.to_owned(),
            Self::ProcMacro => format!("{package}::proc-macro/{target}"),
            Self::Bin => format!("{package}::bin/{target}"),
            Self::Test => format!("{package}::{target}"),
            Self::Bench => format!("{package}::bench/{target}"),
            Self::Example => format!("{package}::example/{target}"),
        }
    }
}
