//! What `cargo run` and `cargo test` add to the environment of the executable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Package;

use super::{cargo, config_env};

/// What is known of the libraries that the executable may load.
pub(super) struct Libraries<'a> {
    /// The folder of the profile that it was built with.
    pub(super) root: Option<&'a Path>,
    /// As build scripts printed them, some with a kind as in `native=/path`.
    pub(super) linked_paths: &'a [String],
}

/// What is the same for all executables of a build.
pub(super) struct Shared {
    /// The `[env]` table of cargo's configuration.
    config: Vec<(OsString, OsString)>,
    target_libraries: Option<PathBuf>,
}

impl Shared {
    /// Asks cargo's configuration and the toolchain.
    pub(super) fn read(prepare: &dyn Fn(&mut Command)) -> Self {
        Self { config: config_env::read(), target_libraries: target_libraries(prepare) }
    }

    /// The variables that cargo sets: of the package, of its build script, of the dynamic linker,
    /// and the `[env]` table of cargo's configuration.
    pub(super) fn environment(
        &self,
        package: &Package,
        libraries: &Libraries<'_>,
        script_environment: &[(String, String)],
    ) -> Vec<(OsString, OsString)> {
        let mut variables = self.config.clone();
        variables.push(("CARGO".into(), cargo::program()));
        variables.push((LIBRARY_PATH.into(), library_path(libraries, self.target_libraries.as_deref())));
        variables.extend(package_variables(package).map(|(name, value)| (name.into(), value.into())));
        variables.extend(script_environment.iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }
}

const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

fn package_variables(package: &Package) -> impl Iterator<Item = (&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let path = |path: &Option<_>| path.as_ref().map(ToString::to_string).unwrap_or_default();
    let version = &package.version;
    let folder = package.manifest_path.parent().map(ToString::to_string).unwrap_or_default();
    [
        ("CARGO_MANIFEST_DIR", folder),
        ("CARGO_MANIFEST_PATH", package.manifest_path.to_string()),
        ("CARGO_PKG_NAME", package.name.to_string()),
        ("CARGO_PKG_VERSION", version.to_string()),
        ("CARGO_PKG_VERSION_MAJOR", version.major.to_string()),
        ("CARGO_PKG_VERSION_MINOR", version.minor.to_string()),
        ("CARGO_PKG_VERSION_PATCH", version.patch.to_string()),
        ("CARGO_PKG_VERSION_PRE", version.pre.to_string()),
        ("CARGO_PKG_AUTHORS", package.authors.join(":")),
        ("CARGO_PKG_DESCRIPTION", text(&package.description)),
        ("CARGO_PKG_HOMEPAGE", text(&package.homepage)),
        ("CARGO_PKG_REPOSITORY", text(&package.repository)),
        ("CARGO_PKG_LICENSE", text(&package.license)),
        ("CARGO_PKG_LICENSE_FILE", path(&package.license_file)),
        // Cargo passes this one as it is written; metadata has filled in what `1.85` leaves out.
        ("CARGO_PKG_RUST_VERSION", package.rust_version.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("CARGO_PKG_README", path(&package.readme)),
    ]
    .into_iter()
}

/// Build scripts' folders inside the target directory, then cargo's own, then the toolchain's, then
/// what was set before.
fn library_path(libraries: &Libraries<'_>, target_libraries: Option<&Path>) -> OsString {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(root) = libraries.root {
        let linked = libraries
            .linked_paths
            .iter()
            .map(|path| PathBuf::from(path.split_once('=').map_or(path.as_str(), |(_, path)| path)));
        // Others are the system's, and must not come before what the system itself prefers.
        folders.extend(linked.filter(|path| path.starts_with(root)));
        folders.push(root.to_owned());
        folders.push(root.join("deps"));
    }
    folders.extend(target_libraries.map(Path::to_owned));
    let inherited = std::env::var_os(LIBRARY_PATH).unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited).filter(|folder| !folder.as_os_str().is_empty()));
    // Folders whose names hold a colon cannot be said in such a list; cargo gives up there as well.
    std::env::join_paths(folders).unwrap_or(inherited)
}

/// Where the toolchain keeps the dynamic standard library; without an answer the few that link to it
/// will say so themselves.
fn target_libraries(prepare: &dyn Fn(&mut Command)) -> Option<PathBuf> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--print", "target-libdir"]).stdin(Stdio::null()).stderr(Stdio::null());
    prepare(&mut rustc);
    let output = rustc.output().ok().filter(|output| output.status.success())?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dynamic_linker_looks_where_cargo_run_would_have_it_look() {
        let linked = ["native=/t/debug/build/x/out".to_owned(), "/t/debug/build/y".to_owned(), "/usr/lib".to_owned()];
        let libraries = Libraries { root: Some(Path::new("/t/debug")), linked_paths: &linked };
        let expected = "/t/debug/build/x/out:/t/debug/build/y:/t/debug:/t/debug/deps:/rust/lib";
        let path = library_path(&libraries, Some(Path::new("/rust/lib")));
        assert!(path.to_str().is_some_and(|path| path.starts_with(expected)), "{}", path.display());
    }
}
