//! Small workspaces for the tests of this module.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A workspace in a folder of its own: paths and contents of its files.
pub(super) fn workspace(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// A manifest with no more than it must have, and then `rest`.
pub(super) fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2021\"\n{rest}\n")
}
