//! Whose code it is: the user's own, or a library's.

use std::path::{Component, Path, PathBuf};

use super::names;

/// What cargo keeps sources of others in, within its home: see `cargo help` on `CARGO_HOME`.
const STORES: [[&str; 2]; 2] = [["registry", "src"], ["git", "checkouts"]];

/// Tells the user's own code from that of libraries.
pub struct Origin {
    workspace_root: PathBuf,
    own_crates: Vec<String>,
}

impl Origin {
    /// The workspace, and the crates in it, with underscores in their names.
    pub fn new(workspace_root: PathBuf, own_crates: Vec<String>) -> Self {
        Self { workspace_root, own_crates }
    }

    /// A source file as reports have it, and whether it is the user's own.
    pub fn of_file(&self, file: &str) -> (String, bool) {
        let path = Path::new(file);
        // Relative ones come from builds that leave the way to the workspace out of their debug information.
        let within = if path.is_relative() { Some(path) } else { path.strip_prefix(&self.workspace_root).ok() };
        match within {
            // A home of cargo's, or the standard library, may lie in the workspace.
            Some(within) if !is_stored(within) => (within.display().to_string(), true),
            _ => (file.to_owned(), false),
        }
    }

    /// Whether a function is the user's own, where no file is known.
    pub fn is_own_function(&self, function: &str) -> bool {
        names::crate_of(function).is_some_and(|name| self.own_crates.iter().any(|own| own == name))
    }
}

fn is_stored(path: &Path) -> bool {
    let names: Vec<_> = path
        .components()
        .map(|component| match component {
            Component::Normal(name) => name.to_str().unwrap_or_default(),
            _ => "",
        })
        .collect();
    names.windows(2).any(|pair| STORES.iter().any(|store| pair == store))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_workspace_is_the_users_own() {
        let origin = Origin::new("/home/user/shop".into(), vec!["shop_server".into()]);
        assert_eq!(origin.of_file("/home/user/shop/src/main.rs"), ("src/main.rs".to_owned(), true));
        assert_eq!(origin.of_file("src/main.rs"), ("src/main.rs".to_owned(), true));
        for other in [
            "/home/user/shopping/src/main.rs",
            "/home/user/.cargo/registry/src/index/tokio-1.0.0/src/lib.rs",
            "/home/user/shop/.cargo/registry/src/index/tokio-1.0.0/src/lib.rs",
            "/home/user/shop/.cargo/git/checkouts/tokio/src/lib.rs",
            "/rustc/0123/library/std/src/thread/mod.rs",
        ] {
            assert_eq!(origin.of_file(other), (other.to_owned(), false));
        }
        assert!(origin.is_own_function("shop_server::index"));
        assert!(origin.is_own_function("<shop_server::Index as axum::Handler>::call"));
        assert!(!origin.is_own_function("core::ptr::drop_in_place<shop_server::Index>"));
        assert!(!origin.is_own_function("shop_server"));
    }
}
