//! The prefix that replaces the workspace's folder in debug information: `--remap-path-prefix`, cargo's `trim-paths`.
//!
//! Debug information does not say what was replaced by what. But the symbols name the crate of each function, and
//! the debug information names its file: where the file `/build/crates/shop/src/main.rs` holds functions of the
//! workspace's crate `shop`, and the workspace has a file `crates/shop/src/main.rs`, then `/build` stands for its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A prefix stands for the workspace if at least one file in this many is beneath it. The others come from macros of
/// other packages.
const OUTLIERS: usize = 8;

/// The prefixes that stand for the workspace's folder in the debug information of one image. Empty where nothing was
/// replaced.
#[derive(Debug, Default)]
pub struct Remapped {
    prefixes: Vec<PathBuf>,
}

impl Remapped {
    /// From the files that hold functions of the workspace's crates. `exists` tells whether the workspace has a file
    /// with this relative path.
    pub fn learn<'a>(files: impl IntoIterator<Item = &'a Path>, exists: impl Fn(&Path) -> bool) -> Self {
        let mut votes: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut all = 0;
        for file in files {
            all += 1;
            if let Some(prefix) = prefix(plain(file), &exists) {
                *votes.entry(prefix.to_owned()).or_default() += 1;
            }
        }
        Self {
            prefixes: votes.into_iter().filter(|(_, count)| count * OUTLIERS >= all).map(|(path, _)| path).collect(),
        }
    }

    /// The path within the workspace that a path in the debug information stands for.
    pub fn within<'a>(&self, file: &'a Path) -> Option<&'a Path> {
        let within = |prefix: &PathBuf| plain(file).strip_prefix(prefix).ok().filter(|rest| rest.is_relative());
        self.prefixes.iter().find_map(within)
    }
}

/// A path without a dot at its beginning.
fn plain(file: &Path) -> &Path {
    file.strip_prefix(".").unwrap_or(file)
}

/// What stands in front of the longest part of a path that the workspace has as well.
fn prefix(file: &Path, exists: impl Fn(&Path) -> bool) -> Option<&Path> {
    let mut prefixes: Vec<&Path> = file.ancestors().skip(1).collect();
    prefixes.reverse();
    let rest = |prefix: &Path| file.strip_prefix(prefix).ok().filter(|rest| rest.is_relative()).map(Path::to_owned);
    prefixes.into_iter().find(|prefix| rest(prefix).is_some_and(|rest| exists(&rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(files: &[&str], workspace: &[&str]) -> Remapped {
        Remapped::learn(files.iter().map(Path::new), |path| workspace.iter().any(|known| path == Path::new(known)))
    }

    #[test]
    fn the_longest_path_that_the_workspace_has_tells_the_prefix() {
        let workspace = ["crates/shop/src/main.rs", "crates/shop/src/cart.rs", "src/main.rs"];
        let files = ["/build/crates/shop/src/main.rs", "/build/crates/shop/src/cart.rs"];
        let remapped = learn(&files, &workspace);
        let within = |file: &str| remapped.within(Path::new(file)).map(|path| path.display().to_string());
        assert_eq!(within("/build/crates/shop/src/cart.rs").as_deref(), Some("crates/shop/src/cart.rs"));
        assert_eq!(within("/build/other.rs").as_deref(), Some("other.rs"));
        assert_eq!(within("/builder/crates/shop/src/cart.rs"), None);
        assert_eq!(within("crates/shop/src/cart.rs"), None);
    }

    #[test]
    fn an_empty_prefix_leaves_relative_paths() {
        let remapped = learn(&["src/main.rs", "./src/cart.rs"], &["src/main.rs", "src/cart.rs"]);
        assert_eq!(remapped.within(Path::new("src/main.rs")), Some(Path::new("src/main.rs")));
        assert_eq!(remapped.within(Path::new("./src/cart.rs")), Some(Path::new("src/cart.rs")));
        assert_eq!(remapped.within(Path::new("/src/main.rs")), None);
    }

    #[test]
    fn a_file_of_another_package_does_not_count() {
        // A macro of another crate, whose functions are the workspace's: its file is called as one of the workspace is.
        let mut files = vec!["/build/src/main.rs"; 20];
        files.push("lazy-1.5.0/src/main.rs");
        let remapped = learn(&files, &["src/main.rs"]);
        assert_eq!(remapped.within(Path::new("lazy-1.5.0/src/main.rs")), None);
        assert!(remapped.within(Path::new("/build/src/main.rs")).is_some());
        assert_eq!(learn(&["/elsewhere/src/lib.rs"], &["src/main.rs"]).prefixes, Vec::<PathBuf>::new());
        assert_eq!(learn(&[], &["src/main.rs"]).prefixes, Vec::<PathBuf>::new());
    }
}
