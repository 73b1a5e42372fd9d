//! Whose code it is: the user's own, a library's, or the system's.

use std::path::{Component, Path, PathBuf};

use super::names;
use super::remapped::Remapped;
use cargo_beyla_core::model::stack::Whose;

/// What cargo keeps sources of others in, within its home: see `cargo help` on `CARGO_HOME`.
const STORES: [[&str; 2]; 2] = [["registry", "src"], ["git", "checkouts"]];

/// What the sources of the standard library are in where `rust-src` is installed.
const STANDARD_LIBRARY: [&str; 4] = ["rustlib", "src", "rust", "library"];

/// What they are in elsewhere, beneath the hash of the compiler's commit.
const STANDARD_LIBRARY_AS_BUILT: &str = "/rustc";

/// The crates of the standard library that frames are met of.
const STANDARD_CRATES: [&str; 6] = ["alloc", "compiler_builtins", "core", "panic_unwind", "proc_macro", "std"];

/// The files of the C library and its like, without what follows a dot: glibc was several before 2.34, which end in
/// `-2.31.so`.
const SYSTEM_LIBRARIES: [&str; 7] = ["ld", "libc", "libdl", "libgcc_s", "libm", "libpthread", "librt"];

/// How those begin that load the others; of musl, there is no other.
const LOADERS: [&str; 2] = ["ld-linux", "ld-musl"];

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

    /// A source file as reports have it, and whose code it is: that of a function with this name, which may lack its
    /// path. What stands for the workspace's folder is only asked for where the file is not plainly somebody's.
    pub fn of_file<'a>(&self, file: &str, function: &str, remapped: impl FnOnce() -> &'a Remapped) -> (String, Whose) {
        let path = Path::new(file);
        if let Some(whose) = self.plainly(path) {
            let within = path.strip_prefix(&self.workspace_root).ok().filter(|_| whose == Whose::Workspace);
            return (within.unwrap_or(path).display().to_string(), whose);
        }
        let within = remapped().within(path);
        if let Some(within) = within.filter(|within| self.has(within)) {
            return (within.display().to_string(), Whose::Workspace);
        }
        // A file that was made while it was built, or one of a workspace that is not here. Relative paths are those of
        // other packages, too.
        let in_workspace = within.is_some_and(|_| path.is_absolute());
        let own = !is_package(path) && (in_workspace || self.is_own_function(function));
        (file.to_owned(), if own { Whose::Workspace } else { of_others(function) })
    }

    /// Whose a function is, where no file is known.
    pub fn of_function(&self, function: &str) -> Whose {
        if self.is_own_function(function) { Whose::Workspace } else { of_others(function) }
    }

    /// Whether the name of a function says that it is the user's own.
    pub fn is_own_function(&self, function: &str) -> bool {
        names::crate_of(function).is_some_and(|name| self.is_own_crate(name))
    }

    /// The crates of the workspace.
    pub fn own_crates(&self) -> &[String] {
        &self.own_crates
    }

    /// What stands for the workspace's folder, by the files that hold functions of its crates.
    pub fn remapped<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Remapped {
        Remapped::learn(files.into_iter().filter(|file| self.plainly(file).is_none()), |path| self.has(path))
    }

    /// Whose a file is, where its path alone says so.
    fn plainly(&self, file: &Path) -> Option<Whose> {
        let names: Vec<&str> = file.components().map(name).collect();
        let has = |folders: &[&str]| names.windows(folders.len()).any(|names| names == folders);
        // A home of cargo's, or the standard library, may lie in the workspace; and `/` is none.
        if STORES.iter().any(|store| has(store)) {
            Some(Whose::Library)
        } else if has(&STANDARD_LIBRARY) || file.starts_with(STANDARD_LIBRARY_AS_BUILT) {
            Some(Whose::System)
        } else if self.workspace_root.parent().is_some() && file.starts_with(&self.workspace_root) {
            Some(Whose::Workspace)
        } else {
            None
        }
    }

    /// Whether the workspace has a file.
    fn has(&self, within: &Path) -> bool {
        self.workspace_root.join(within).is_file()
    }

    fn is_own_crate(&self, name: &str) -> bool {
        self.own_crates.iter().any(|own| own == name)
    }
}

/// Whether a file is one of the C library and its like, by its name.
pub fn is_system_library(file: &str) -> bool {
    let stem = file.split('.').next().unwrap_or(file);
    let plain = stem.strip_suffix("-2").unwrap_or(stem);
    SYSTEM_LIBRARIES.contains(&plain) || LOADERS.iter().any(|start| stem.starts_with(start))
}

fn of_others(function: &str) -> Whose {
    let standard = names::crate_of(function).is_some_and(|name| STANDARD_CRATES.contains(&name));
    if standard { Whose::System } else { Whose::Library }
}

/// Whether a path leads through the folder of a package with a version, as in `tokio-1.54.1/src/lib.rs`: so cargo's
/// `trim-paths` writes those of dependencies.
fn is_package(path: &Path) -> bool {
    path.components().map(name).any(|name| {
        name.match_indices('-').any(|(dash, _)| {
            let parts: Vec<&str> = name[dash + 1..].splitn(3, '.').collect();
            let number = |part: &&str| part.starts_with(|digit: char| digit.is_ascii_digit());
            dash > 0 && parts.len() == 3 && parts.iter().all(number)
        })
    })
}

fn name(component: Component<'_>) -> &str {
    match component {
        Component::Normal(name) => name.to_str().unwrap_or_default(),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a workspace with the file `src/main.rs`.
    fn workspace() -> (tempfile::TempDir, Origin) {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("src")).expect("a folder in it");
        std::fs::write(root.path().join("src/main.rs"), "").expect("a file in it");
        let origin = Origin::new(root.path().to_owned(), vec!["shop_server".into()]);
        (root, origin)
    }

    #[test]
    fn what_lies_in_the_workspace_is_the_users_own() {
        let (root, origin) = workspace();
        let none = Remapped::default();
        let whose = |file: &str, function: &str| {
            let file = file.replace("/WORKSPACE", &root.path().display().to_string());
            let (shown, whose) = origin.of_file(&file, function, || &none);
            assert!(whose == Whose::Workspace || shown == file, "{shown}");
            (shown, whose)
        };
        assert_eq!(whose("/WORKSPACE/src/main.rs", "index"), ("src/main.rs".to_owned(), Whose::Workspace));
        for (file, expected) in [
            ("/WORKSPACEpping/src/main.rs", Whose::Library),
            ("/home/user/.cargo/registry/src/index/tokio-1.0.0/src/lib.rs", Whose::Library),
            ("/WORKSPACE/.cargo/registry/src/index/tokio-1.0.0/src/lib.rs", Whose::Library),
            ("/WORKSPACE/.cargo/git/checkouts/tokio/src/lib.rs", Whose::Library),
            ("/rustc/0123/library/std/src/thread/mod.rs", Whose::System),
            ("/WORKSPACE/.rustup/toolchains/stable/lib/rustlib/src/rust/library/core/src/lib.rs", Whose::System),
            // As `--remap-path-prefix=$HOME=` leaves it.
            (".rustup/toolchains/stable/lib/rustlib/src/rust/library/core/src/lib.rs", Whose::System),
            (".cargo/registry/src/index/tokio-1.0.0/src/lib.rs", Whose::Library),
        ] {
            assert_eq!(whose(file, "poll").1, expected, "{file}");
        }
    }

    #[test]
    fn the_crate_tells_where_the_file_does_not() {
        let (_root, origin) = workspace();
        let none = Remapped::default();
        let whose = |file: &str, function: &str| origin.of_file(file, function, || &none).1;
        assert_eq!(whose("/build/src/main.rs", "shop_server::index"), Whose::Workspace);
        assert_eq!(whose("/build/src/main.rs", "<shop_server::Index as axum::Handler>::call"), Whose::Workspace);
        assert_eq!(whose("/build/src/main.rs", "tokio::spawn"), Whose::Library);
        assert_eq!(whose("/build/src/main.rs", "index"), Whose::Library, "it may be anybody's");
        assert_eq!(whose("/build/library/core/src/lib.rs", "core::hint::spin_loop"), Whose::System);
        // A method that a trait of tokio's has by default.
        assert_eq!(whose("tokio-1.54.1/src/io.rs", "<shop_server::Index as tokio::Read>::read"), Whose::Library);
        assert_eq!(origin.of_function("shop_server::index"), Whose::Workspace);
        assert_eq!(origin.of_function("<shop_server::Index as axum::Handler>::call"), Whose::Workspace);
        assert_eq!(origin.of_function("core::ptr::drop_in_place<shop_server::Index>"), Whose::System);
        assert_eq!(origin.of_function("tokio::spawn"), Whose::Library);
        assert_eq!(origin.of_function("shop_server"), Whose::Library);
    }

    #[test]
    fn paths_that_were_replaced_lead_back() {
        let (_root, origin) = workspace();
        let remapped = origin.remapped([Path::new("/build/src/main.rs")]);
        let of = |file: &str| origin.of_file(file, "index", || &remapped);
        assert_eq!(of("/build/src/main.rs"), ("src/main.rs".to_owned(), Whose::Workspace));
        assert_eq!(of("/build/target/out/made.rs"), ("/build/target/out/made.rs".to_owned(), Whose::Workspace));
        assert_eq!(of("/elsewhere/src/main.rs").1, Whose::Library);
        let remapped = origin.remapped([Path::new("src/main.rs")]);
        let of = |file: &str| origin.of_file(file, "index", || &remapped);
        assert_eq!(of("src/main.rs"), ("src/main.rs".to_owned(), Whose::Workspace));
        assert_eq!(of("tokio-1.54.1/src/main.rs").1, Whose::Library);
        assert_eq!(of("src/lib.rs").1, Whose::Library, "the workspace has no such file");
    }

    #[test]
    fn the_c_library_is_known_by_its_file() {
        for file in
            ["libc.so.6", "libc-2.31.so", "ld-linux-x86-64.so.2", "libpthread.so.0", "libm.so.6", "libgcc_s.so.1"]
        {
            assert!(is_system_library(file), "{file}");
        }
        for file in ["libcurl.so.4", "libmysqlclient.so.21", "libcrypto.so.3", "libmimalloc.so", "server"] {
            assert!(!is_system_library(file), "{file}");
        }
    }
}
