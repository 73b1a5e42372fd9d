//! `cargo test --no-run`, and the test binaries that it has built.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Artifact, Metadata, Package, PackageId, TargetKind as Cargo};

use super::harness::Custom;
use super::{BuiltTests, TestBinary};
use crate::cli::test::TestTargetArguments;
use crate::error::Error;
use crate::workspace::cargo;
use crate::workspace::environment::{Libraries, Shared};
use crate::workspace::messages::{self, Messages};

/// What a test binary was built from, in the order in which cargo runs those of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Lib,
    ProcMacro,
    Bin,
    Test,
    Bench,
    Example,
}

impl Kind {
    fn of(artifact: &Artifact) -> Self {
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
    fn id(self, package: &str, target: &str) -> String {
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

pub(super) fn build(
    metadata: &Metadata,
    arguments: &TestTargetArguments,
    jobs: Option<usize>,
    prepare: &dyn Fn(&mut Command),
) -> Result<BuiltTests, Error> {
    let messages = messages::of_build(command(arguments, jobs), prepare)?;
    let packages: HashMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let mut built: Vec<(Kind, &Package, &Artifact)> = Vec::new();
    for artifact in messages.artifacts.iter().filter(|artifact| artifact.profile.test) {
        let package = packages.get(&artifact.package_id).ok_or_else(|| Error::Target {
            message: format!("`{}` is no package of the workspace", artifact.package_id),
            hint: "test it in its own workspace".into(),
        })?;
        built.push((Kind::of(artifact), package, artifact));
    }
    built.sort_by_key(|(kind, package, artifact)| (&package.name, &package.version, *kind, &artifact.target.name));

    let shared = Shared::read(prepare);
    let mut custom: HashMap<&PackageId, Option<Custom>> = HashMap::new();
    let binaries = built.into_iter().filter_map(|(kind, package, artifact)| {
        let custom = custom.entry(&package.id).or_insert_with(|| Custom::of(package)).as_ref();
        let name = artifact.target.name.as_str();
        let executable: PathBuf = artifact.executable.clone()?.into();
        Some(TestBinary {
            id: kind.id(&package.name, name).into(),
            name: name.into(),
            folder: package.manifest_path.parent()?.into(),
            environment: environment(&shared, &messages, package, kind, &executable),
            harness: !custom.is_some_and(|custom| custom.has(kind, name)),
            executable,
        })
    });
    Ok(BuiltTests { binaries: binaries.collect(), target_directory: target_directory(metadata, arguments)? })
}

fn environment(
    shared: &Shared,
    messages: &Messages,
    package: &Package,
    kind: Kind,
    executable: &Path,
) -> Vec<(OsString, OsString)> {
    // Test binaries lie in `deps` or `examples` below the folder of their profile.
    let root = executable.parent().and_then(Path::parent);
    let libraries = Libraries { root, linked_paths: &messages.linked_paths };
    let script = messages.script_environment(&package.id);
    let mut variables = shared.environment(package, &libraries, script);
    if matches!(kind, Kind::Test | Kind::Bench) {
        let own = |artifact: &&Artifact| {
            artifact.package_id == package.id && artifact.target.is_kind(Cargo::Bin) && !artifact.profile.test
        };
        for binary in messages.artifacts.iter().filter(own) {
            let executable = binary.executable.clone().map(PathBuf::from).unwrap_or_default();
            variables.push((format!("CARGO_BIN_EXE_{}", binary.target.name).into(), executable.into()));
        }
    }
    variables
}

/// Where executables lie that belong to this build.
fn target_directory(metadata: &Metadata, arguments: &TestTargetArguments) -> Result<PathBuf, Error> {
    let folder = arguments.build.target_dir.clone().unwrap_or_else(|| metadata.target_directory.clone().into());
    folder.canonicalize().map_err(|source| Error::File { verb: "read", path: folder, source })
}

/// The same selection as `cargo test` makes of these arguments, so that the two share what is built.
fn command(arguments: &TestTargetArguments, jobs: Option<usize>) -> Command {
    let TestTargetArguments {
        package,
        workspace,
        exclude,
        lib,
        bins,
        bin,
        examples,
        example,
        tests,
        test,
        benches,
        bench,
        all_targets,
        build,
    } = arguments;
    let mut command = Command::new(cargo::program());
    command.args(["test", "--no-run", messages::FORMAT]);
    let lists = [
        ("--package", package),
        ("--exclude", exclude),
        ("--bin", bin),
        ("--example", example),
        ("--test", test),
        ("--bench", bench),
    ];
    for (flag, names) in lists {
        for name in names {
            command.arg(flag).arg(name);
        }
    }
    let switches = [
        ("--workspace", workspace),
        ("--lib", lib),
        ("--bins", bins),
        ("--examples", examples),
        ("--tests", tests),
        ("--benches", benches),
        ("--all-targets", all_targets),
    ];
    command.args(switches.into_iter().filter(|(_, wanted)| **wanted).map(|(flag, _)| flag));
    if let Some(jobs) = jobs {
        command.arg("--jobs").arg(jobs.to_string());
    }
    cargo::apply(build, &mut command);
    command
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
