//! The user's own code, as opposed to what it depends on.

use std::path::PathBuf;

use cargo_metadata::Metadata;

/// What belongs to a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The folder that the workspace is in.
    pub root: PathBuf,
    /// The crates of its packages, as code names them.
    pub crates: Vec<String>,
}

impl Sources {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let targets = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
        let mut crates: Vec<String> = targets.map(|target| target.name.replace('-', "_")).collect();
        crates.sort_unstable();
        crates.dedup();
        Self { root: metadata.workspace_root.clone().into(), crates }
    }
}
