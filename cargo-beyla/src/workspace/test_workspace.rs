//! The tests of a workspace: which packages, build them as `cargo test` does, and what it would have given them.

pub mod arguments;
pub mod build;
mod documentation;
mod harness;
mod kind;
pub mod list;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cargo_metadata::{Metadata, Package};
use globset::Glob;

use self::build::Compiled;
use super::cargo::{self, Query};
use super::program::Program;
use super::sources::Sources;
use super::specification;
use crate::cli::test::TestTargetArguments;
use crate::config::layers::Manifests;
use crate::error::Error;

/// The workspace around the working directory, and which of its packages are tested.
#[derive(Clone, Debug)]
pub struct TestWorkspace {
    /// The code of the workspace.
    pub sources: Sources,
    /// The manifests whose metadata may hold settings: those of the package, if it is one that is tested.
    pub manifests: Manifests,
    metadata: Metadata,
    selected: Vec<Package>,
}

/// A test binary, and all that it takes to run it as cargo would.
#[derive(Clone, Debug)]
pub struct TestBinary {
    /// As reports name it: `package`, `package::test`, `package::bin/server`.
    pub id: Arc<str>,
    /// The name of its target.
    pub name: Arc<str>,
    /// Its executable.
    pub executable: PathBuf,
    /// How cargo starts it.
    pub program: Program,
    /// The binaries of its package that it may start, if it is an integration test.
    pub spawns: Vec<PathBuf>,
    /// Whether its `main` is that of the standard test harness.
    pub harness: bool,
}

/// What a build has come to.
#[derive(Clone, Debug)]
pub struct BuiltTests {
    /// The test binaries, in the order in which cargo runs them.
    pub binaries: Vec<TestBinary>,
    /// The folder that all is built in, free of symbolic links.
    pub target_directory: PathBuf,
}

impl TestWorkspace {
    /// Asks cargo for the workspace.
    ///
    /// `prepare` has the last word on cargo's command, for one that must run as another user.
    pub fn read(arguments: &TestTargetArguments, prepare: impl Fn(&mut Command)) -> Result<Self, Error> {
        let metadata = cargo::metadata(Query::of(&arguments.build), &prepare)?;
        let selected = selected(&metadata, arguments);
        let workspace: PathBuf = metadata.workspace_root.join("Cargo.toml").into();
        let package = match &selected[..] {
            [package] => package.manifest_path.clone().into(),
            _ => workspace.clone(),
        };
        let several = match &selected[..] {
            [_] => Vec::new(),
            several => several.iter().map(|package| package.manifest_path.clone().into()).collect(),
        };
        Ok(Self {
            sources: Sources::of(&metadata),
            manifests: Manifests { package, workspace, several },
            selected: selected.into_iter().cloned().collect(),
            metadata,
        })
    }

    /// The package that is tested, if it is one alone.
    pub fn package(&self) -> Option<&str> {
        match &self.selected[..] {
            [package] => Some(&package.name),
            _ => None,
        }
    }

    /// Builds the tests; cargo's progress and diagnostics go to stderr as they always do.
    ///
    /// `prepare` has the last word on cargo's command, for one that must run as another user.
    pub fn compile<'a>(
        &'a self,
        arguments: &'a TestTargetArguments,
        jobs: Option<usize>,
        prepare: impl Fn(&mut Command),
    ) -> Result<Compiled<'a>, Error> {
        build::compile(&self.metadata, arguments, jobs, &prepare)
    }

    /// Where cargo puts what it builds.
    pub fn target_directory(&self, arguments: &TestTargetArguments) -> PathBuf {
        arguments.build.target_dir.clone().unwrap_or_else(|| self.metadata.target_directory.clone().into())
    }

    /// Whether a target among those in question brings a `main` of its own, and may know arguments that the
    /// standard harness does not.
    pub fn has_custom_harness(&self) -> bool {
        self.selected.iter().any(|package| harness::Custom::of(package).is_some())
    }

    /// The libraries whose documentation holds tests that `cargo test` would run with these arguments, and that
    /// are left to it.
    pub fn doc_tests(&self, arguments: &TestTargetArguments) -> Vec<&str> {
        if names_targets(arguments) {
            return Vec::new();
        }
        self.selected.iter().filter_map(documentation::library_with_doc_tests).collect()
    }
}

/// Whether the arguments ask for a part of what there is to test.
pub fn is_part(arguments: &TestTargetArguments) -> bool {
    names_targets(arguments) || !arguments.package.is_empty() || !arguments.exclude.is_empty()
}

/// The packages that cargo would test. That there is none is for cargo to say.
fn selected<'a>(metadata: &'a Metadata, arguments: &TestTargetArguments) -> Vec<&'a Package> {
    let TestTargetArguments { package: wanted, workspace, exclude, .. } = arguments;
    let members = metadata.workspace_packages();
    let is_among = |package: &Package, specifications: &[String]| {
        specifications.iter().any(|specification| is_meant(package, specification))
    };
    if *workspace {
        members.into_iter().filter(|package| !is_among(package, exclude)).collect()
    } else if !wanted.is_empty() {
        members.into_iter().filter(|package| is_among(package, wanted)).collect()
    } else if metadata.workspace_default_members.is_available() {
        metadata.workspace_default_packages()
    } else {
        members
    }
}

/// `cargo test -p` takes patterns too.
fn is_meant(package: &Package, specification: &str) -> bool {
    specification::matches(package, specification)
        || Glob::new(specification).is_ok_and(|glob| glob.compile_matcher().is_match(package.name.as_str()))
}

/// Whether the arguments choose among the targets of the packages.
fn names_targets(arguments: &TestTargetArguments) -> bool {
    let TestTargetArguments { lib, bins, bin, examples, example, tests, test, benches, bench, all_targets, .. } =
        arguments;
    [lib, bins, examples, tests, benches, all_targets].into_iter().any(|flag| *flag)
        || [bin, example, test, bench].into_iter().any(|names| !names.is_empty())
}
