//! Which target to run, by the conventions of `cargo run`.

use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::{Metadata, Package};

use super::candidates::{Candidates, Missing};
use super::cargo::Query;
use super::sources::Sources;
use super::target::{Target, TargetKind};
use super::{cargo, specification};
use crate::cli::options::TargetArguments;
use crate::config::layers::Manifests;
use crate::error::Error;

/// The target to run, and its package.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The target.
    pub target: Target,
    /// The code of the workspace.
    pub sources: Sources,
    /// Where cargo puts what it builds.
    pub target_directory: PathBuf,
    /// The manifests whose metadata may hold settings.
    pub manifests: Manifests,
    /// Its package.
    pub(super) package: Package,
}

/// Finds the target that `arguments` mean in the workspace around the working directory.
///
/// `prepare` has the last word on cargo's command, for one that must run as another user.
pub fn select(arguments: &TargetArguments, prepare: impl Fn(&mut Command)) -> Result<Selection, Error> {
    choose(&cargo::metadata(Query::of(&arguments.build), &prepare)?, arguments)
}

/// Finds the target that `arguments` mean in a workspace that is known.
fn choose(metadata: &Metadata, arguments: &TargetArguments) -> Result<Selection, Error> {
    let members = metadata.workspace_packages();
    let packages = match &arguments.package {
        Some(wanted) => members.iter().copied().filter(|package| specification::matches(package, wanted)).collect(),
        // Cargo has considered the working directory and `default-members` here; before 1.71 it
        // did not tell.
        None if metadata.workspace_default_members.is_available() => metadata.workspace_default_packages(),
        None => members.clone(),
    };
    let candidates = Candidates { members, packages, package_named: arguments.package.is_some() };
    if candidates.packages.is_empty() {
        return Err(candidates.no_package(arguments.package.as_deref().unwrap_or_default()));
    }
    let (target, package) = match (&arguments.bin, &arguments.example) {
        (Some(name), _) => named(&candidates, TargetKind::Bin, name)?,
        (None, Some(name)) => named(&candidates, TargetKind::Example, name)?,
        (None, None) => unnamed(&candidates)?,
    };
    let manifests = Manifests {
        package: package.manifest_path.clone().into(),
        workspace: metadata.workspace_root.join("Cargo.toml").into(),
        several: Vec::new(),
    };
    let named = arguments.build.target_dir.clone();
    let target_directory = named.unwrap_or_else(|| metadata.target_directory.clone().into());
    Ok(Selection { target, sources: Sources::of(metadata), target_directory, manifests, package })
}

fn named(candidates: &Candidates<'_>, kind: TargetKind, name: &str) -> Result<(Target, Package), Error> {
    let found: Vec<&Package> = candidates.of(kind).filter(|(_, found)| *found == name).map(|(pkg, _)| pkg).collect();
    match found[..] {
        [package] => Ok(target(package, kind, name, None)),
        [] => Err(candidates.missing(&Missing { kind, name })),
        _ => Err(candidates.in_several_packages(kind, name)),
    }
}

fn unnamed(candidates: &Candidates<'_>) -> Result<(Target, Package), Error> {
    let defaults: Vec<(&Package, &str)> =
        candidates.packages.iter().filter_map(|package| Some((*package, package.default_run.as_deref()?))).collect();
    if let [(package, name)] = defaults[..] {
        return Ok(target(package, TargetKind::Bin, name, Some("its default-run")));
    }
    let binaries: Vec<(&Package, &str)> = candidates.of(TargetKind::Bin).collect();
    match binaries[..] {
        [(package, name)] => Ok(target(package, TargetKind::Bin, name, Some("the only one"))),
        [] => Err(candidates.no_binary()),
        _ => Err(candidates.several_binaries()),
    }
}

fn target(package: &Package, kind: TargetKind, name: &str, because: Option<&str>) -> (Target, Package) {
    let chosen = because.map(|because| format!("{} `{name}` of package `{}`, {because}", kind.noun(), package.name));
    let target = Target { package: package.name.to_string(), name: name.to_owned(), kind, chosen };
    (target, package.clone())
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
