//! The user's own code, as opposed to what it depends on.

use std::path::{Path, PathBuf};

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

    /// The sources of an executable that somebody else has built: those of the workspace around it, which a lock file
    /// marks, or without one, those of the working directory.
    pub fn around(executable: &Path) -> Self {
        let workspace = executable.ancestors().skip(1).find(|folder| folder.join("Cargo.lock").is_file());
        let root = workspace.map(Path::to_owned).or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        let name = executable.file_stem().map(|name| name.to_string_lossy().replace('-', "_"));
        Self { root, crates: name.into_iter().collect() }
    }
}
