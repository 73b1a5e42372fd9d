//! `cargo test --no-run`, and the test binaries that it has built.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{Artifact, Metadata, Package, PackageId, TargetKind as Cargo};

use super::harness::Custom;
use super::kind::Kind;
use super::{BuiltTests, TestBinary};
use crate::cli::test::TestTargetArguments;
use crate::error::Error;
use crate::workspace::program::Program;
use crate::workspace::start;
use crate::workspace::target_runner::Questions;
use crate::workspace::{cargo, messages};

/// What cargo has built for a run of tests.
pub struct Compiled<'a> {
    metadata: &'a Metadata,
    arguments: &'a TestTargetArguments,
    jobs: Option<usize>,
    questions: Questions,
    artifacts: Vec<Artifact>,
}

/// Builds the tests; cargo's progress and diagnostics go to stderr as they always do.
pub(super) fn compile<'a>(
    metadata: &'a Metadata,
    arguments: &'a TestTargetArguments,
    jobs: Option<usize>,
    prepare: &dyn Fn(&mut Command),
) -> Result<Compiled<'a>, Error> {
    let questions = Questions::ask(&arguments.build.cargo_config, prepare);
    let mut build = command(arguments, jobs);
    build.args(["--no-run", messages::FORMAT]);
    let artifacts = messages::of_build(build, prepare)?;
    Ok(Compiled { metadata, arguments, jobs, questions, artifacts })
}

/// A test binary and its package.
struct TestArtifact<'a> {
    kind: Kind,
    package: &'a Package,
    artifact: &'a Artifact,
    executable: &'a Utf8Path,
}

impl TestArtifact<'_> {
    fn id(&self) -> String {
        self.kind.id(&self.package.name, &self.artifact.target.name)
    }

    /// With a runner, the executable follows the runner's own arguments.
    fn is_started_by(&self, program: &Program) -> bool {
        program.arguments.iter().any(|argument| program.folder.join(argument) == self.executable.as_std_path())
    }
}

impl Compiled<'_> {
    /// The test binaries, by their ids and where they are.
    ///
    /// # Errors
    /// If one belongs to another workspace.
    pub fn executables(&self) -> Result<Vec<(String, PathBuf)>, Error> {
        Ok(test_artifacts(self.metadata, &self.artifacts)?
            .iter()
            .map(|test| (test.id(), test.executable.into()))
            .collect())
    }

    /// Asks cargo how it starts the tests. If it takes long to say, `say` gets what it is doing; `prepare` has the last
    /// word on cargo's command, for one that must run as another user.
    ///
    /// # Errors
    /// If cargo fails.
    pub fn start(self, say: impl FnOnce(&str), prepare: impl Fn(&mut Command)) -> Result<BuiltTests, Error> {
        let Self { metadata, arguments, jobs, questions, artifacts } = self;
        let target_directory = target_directory(metadata, arguments)?;
        let tests = test_artifacts(metadata, &artifacts)?;
        if tests.is_empty() {
            return Ok(BuiltTests { binaries: Vec::new(), target_directory });
        }
        let asked = start::ask(start_command(arguments, jobs), &[], questions.answer(), &prepare)?;
        let programs = asked.answer(say)?;
        let mut custom: HashMap<&PackageId, Option<Custom>> = HashMap::new();
        let mut binaries = Vec::with_capacity(tests.len());
        for program in programs {
            // Cargo starts no others.
            let Some(test) = tests.iter().find(|test| test.is_started_by(&program)) else { continue };
            let TestArtifact { kind, package, artifact, executable } = *test;
            let custom = custom.entry(&package.id).or_insert_with(|| Custom::of(package)).as_ref();
            let name = artifact.target.name.as_str();
            binaries.push(TestBinary {
                id: test.id().into(),
                name: name.into(),
                executable: executable.into(),
                program,
                spawns: spawns(&artifacts, package, kind),
                harness: !custom.is_some_and(|custom| custom.has(kind, name)),
            });
        }
        Ok(BuiltTests { binaries, target_directory })
    }
}

fn test_artifacts<'a>(metadata: &'a Metadata, artifacts: &'a [Artifact]) -> Result<Vec<TestArtifact<'a>>, Error> {
    let test = |artifact: &'a Artifact| {
        let package = metadata.packages.iter().find(|package| package.id == artifact.package_id);
        let package = package.ok_or_else(|| Error::Target {
            message: format!("`{}` is no package of the workspace", artifact.package_id),
            hint: "test it in its own workspace".into(),
        })?;
        let executable = artifact.executable.as_deref().unwrap_or(Utf8Path::new(""));
        Ok(TestArtifact { kind: Kind::of(artifact), package, artifact, executable })
    };
    artifacts.iter().filter(|artifact| artifact.profile.test).map(test).collect()
}

/// The binaries whose paths cargo gives to an integration test.
fn spawns(artifacts: &[Artifact], package: &Package, kind: Kind) -> Vec<PathBuf> {
    if !matches!(kind, Kind::Test | Kind::Bench) {
        return Vec::new();
    }
    let own = artifacts.iter().filter(|artifact| {
        artifact.package_id == package.id && artifact.target.is_kind(Cargo::Bin) && !artifact.profile.test
    });
    own.filter_map(|artifact| artifact.executable.clone().map(PathBuf::from)).collect()
}

/// Where executables lie that belong to this build.
fn target_directory(metadata: &Metadata, arguments: &TestTargetArguments) -> Result<PathBuf, Error> {
    let folder = arguments.build.target_dir.clone().unwrap_or_else(|| metadata.target_directory.clone().into());
    folder.canonicalize().map_err(|source| Error::File { verb: "read", path: folder, source })
}

/// As [`command`], to start all tests and nothing else: without a choice among the targets, documentation is tested too.
fn start_command(arguments: &TestTargetArguments, jobs: Option<usize>) -> Command {
    let tests = arguments.tests || !super::names_targets(arguments);
    let build = start::without_runners(&arguments.build);
    let mut command = command(&TestTargetArguments { tests, build, ..arguments.clone() }, jobs);
    command.arg("--no-fail-fast");
    command
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
    command.arg("test");
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
