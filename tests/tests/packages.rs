//! What would be published is all that a user needs: the tool is installed from the packages alone, in a folder outside
//! of the repository, and does its main job there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use beyla_tests::fixture::{self, HELLO_SERVER, manifest};
use beyla_tests::run::Run;
use beyla_tests::tool::{cargo, root, target_dir, tool};
use tempfile::TempDir;

/// What `cargo install cargo-beyla` takes from this repository.
const PACKAGES: [&str; 3] = ["cargo-beyla-events", "cargo-beyla-core", "cargo-beyla"];

/// The licences under which anybody may pass on a built tool, with their texts.
const LICENCES: [&str; 7] = ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unicode-3.0", "Zlib"];

/// Runs a command that is to succeed, and gives what it wrote.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout + &stderr
}

/// Cargo's settings that take the packages from this folder, as if a registry had them, and build them as the tests do.
fn settings(packages: &Path) -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let profiles = manifest.find("[profile.").expect("profiles, which are its end");
    let patch = |package: &&str| format!("{package} = {{ path = '{}' }}\n", unpacked(packages, package).display());
    let patches: String = PACKAGES[..2].iter().map(patch).collect();
    format!("[patch.crates-io]\n{patches}\n{}", &manifest[profiles..])
}

fn unpacked(packages: &Path, package: &str) -> PathBuf {
    packages.join(format!("{package}-{}", env!("CARGO_PKG_VERSION")))
}

/// A target folder in which the dependencies need not be built again. It is not the one of the other tests, which start
/// the tool that lies there.
fn with_built_dependencies() -> TempDir {
    let built = tool().parent().expect("the profile's folder");
    let target = tempfile::Builder::new().prefix("packages-").tempdir_in(target_dir()).expect("a folder");
    let profile = target.path().join("debug");
    fs::create_dir(&profile).expect("a folder");
    for part in ["deps", "build", ".fingerprint"] {
        succeeds(Command::new("cp").args(["--archive", "--link"]).arg(built.join(part)).arg(&profile));
    }
    target
}

#[test]
fn a_tool_that_is_installed_from_its_packages_does_its_job() {
    let folder =
        fixture::folder(&[("server/Cargo.toml", &manifest("hello", "")), ("server/src/main.rs", HELLO_SERVER)]);
    let [built, settings_file, installed, server] =
        ["packaged", "settings.toml", "installed", "server"].map(|name| folder.path().join(name));

    let names = PACKAGES.iter().flat_map(|package| ["-p", package]);
    let package = ["package", "--quiet", "--no-verify", "--allow-dirty", "--target-dir"];
    succeeds(Command::new(cargo()).current_dir(root()).args(package).arg(&built).args(names));
    let packages = built.join("package");
    for package in PACKAGES {
        let archive = unpacked(&packages, package).display().to_string() + ".crate";
        succeeds(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&packages));
    }
    fs::write(&settings_file, settings(&packages)).expect("a file");

    let source = unpacked(&packages, "cargo-beyla");
    // Writes where the other two come from into the lock file, and leaves the rest as it was published.
    let lock = ["metadata", "--format-version=1", "--quiet", "--config"];
    succeeds(Command::new(cargo()).current_dir(&source).args(lock).arg(&settings_file));
    let target = with_built_dependencies();
    let mut install = Command::new(cargo());
    install.current_dir(folder.path()).args(["install", "--debug", "--locked", "--quiet", "--path"]).arg(&source);
    install.arg("--config").arg(&settings_file).arg("--root").arg(&installed).arg("--target-dir").arg(target.path());
    succeeds(install.env("CARGO_INCREMENTAL", "0"));

    let tool = installed.join("bin/cargo-beyla");
    let found = succeeds(Command::new(&tool).current_dir(&server).args(["beyla", "doctor"]));
    assert!(found.contains("cargo beyla run"), "{found}");
    succeeds(Command::new(&tool).current_dir(&server).args(["beyla", "init"]));
    for written in ["beyla.yml", "compose.yml"] {
        assert!(server.join(written).exists(), "{written}");
    }
    let run = Run::of_workspace(&server).with_tool(&tool).start();
    let mut client = run.connect();
    client.get("/first");
    let report = run.stop();
    let paths: Vec<&str> = report.requests.iter().map(|request| &*request.path).collect();
    assert_eq!(paths, ["/first"]);
}

#[test]
fn every_dependency_may_be_passed_on_in_a_built_tool() {
    let mut tree = Command::new(cargo());
    tree.current_dir(root()).args(["tree", "--quiet", "--locked", "-p", "cargo-beyla", "-e", "normal,build"]);
    let tree = succeeds(tree.args(["--target", "all", "--prefix", "none", "--no-dedupe", "-f", "{p}\t{l}"]));
    let is_allowed = |requirement: &spdx::LicenseReq| {
        requirement.license.id().is_some_and(|licence| LICENCES.contains(&licence.name))
    };
    let packages: BTreeMap<&str, &str> = tree.lines().filter_map(|line| line.split_once('\t')).collect();
    assert!(packages.len() > 100, "{tree}");
    for (package, licence) in packages {
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).expect(package);
        assert!(expression.evaluate(is_allowed), "{package}: {licence}");
    }
}
