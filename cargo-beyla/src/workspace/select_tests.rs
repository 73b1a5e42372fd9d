use std::path::Path;

use super::*;
use crate::cli::options::BuildOptions;
use crate::workspace::fixture::{package, workspace};

/// A virtual workspace: `api` with two binaries, `web` with one and a library, `core` with a library
/// and examples.
fn shop(root_manifest: &str) -> tempfile::TempDir {
    workspace(&[
        ("Cargo.toml", root_manifest),
        ("api/Cargo.toml", &package("api", "")),
        ("api/src/bin/server.rs", "fn main() {}"),
        ("api/src/bin/worker.rs", "fn main() {}"),
        ("web/Cargo.toml", &package("web", "[lib]\nname = \"web_lib\"")),
        ("web/src/main.rs", "fn main() {}"),
        ("web/src/lib.rs", ""),
        ("core/Cargo.toml", &package("core", "[[example]]\nname = \"plugin\"\ncrate-type = [\"cdylib\"]")),
        ("core/src/lib.rs", ""),
        ("core/examples/demo.rs", "fn main() {}"),
        ("core/examples/plugin.rs", ""),
    ])
}

const ALL: &str = "[workspace]\nresolver = \"2\"\nmembers = [\"api\", \"web\", \"core\"]\n";

/// Selects with the flags given, `manifest` being what cargo finds from the working directory.
fn select_in(manifest: &Path, flags: &[&str]) -> Result<Target, (String, String)> {
    let build = BuildOptions { manifest_path: Some(manifest.join("Cargo.toml")), ..Default::default() };
    let mut arguments = TargetArguments { build, ..Default::default() };
    for pair in flags.chunks(2) {
        let value = Some(pair[1].to_owned());
        match pair[0] {
            "-p" => arguments.package = value,
            "--bin" => arguments.bin = value,
            "--example" => arguments.example = value,
            flag => panic!("{flag}"),
        }
    }
    match select(&arguments, |_| {}) {
        Ok(selection) => Ok(selection.target),
        Err(error) => {
            assert_eq!(error.exit_code(), crate::error::USAGE, "{error}");
            Err((error.to_string(), error.hint().unwrap_or_default()))
        }
    }
}

fn target(package: &str, name: &str, kind: TargetKind, chosen: Option<&str>) -> Target {
    Target { package: package.into(), name: name.into(), kind, chosen: chosen.map(Into::into) }
}

fn error(message: &str, hint: &str) -> Result<Target, (String, String)> {
    Err((message.into(), hint.into()))
}

#[test]
fn the_folder_of_a_package_leaves_only_its_own() {
    let shop = shop(ALL);
    assert_eq!(
        select_in(&shop.path().join("web"), &[]),
        Ok(target("web", "web", TargetKind::Bin, Some("binary `web` of package `web`, the only one")))
    );
    assert_eq!(
        select_in(&shop.path().join("api"), &[]),
        error(
            "package `api` has several binaries",
            "choose one with --bin, or set default-run in Cargo.toml: server, worker"
        )
    );
    assert_eq!(
        select_in(&shop.path().join("core"), &[]),
        error("package `core` has only a library and no binary", "it has examples, to be chosen with --example: demo")
    );
}

#[test]
fn a_virtual_root_has_the_default_members() {
    let everything = shop(ALL);
    assert_eq!(
        select_in(everything.path(), &[]),
        error(
            "the workspace's default packages have several binaries",
            "choose one with --bin, or set default-run in Cargo.toml: server (-p api), worker (-p api), web (-p web)"
        )
    );
    assert_eq!(select_in(everything.path(), &["--bin", "worker"]), Ok(target("api", "worker", TargetKind::Bin, None)));

    let only_web = shop(&format!("{ALL}default-members = [\"web\", \"core\"]"));
    assert_eq!(
        select_in(only_web.path(), &[]),
        Ok(target("web", "web", TargetKind::Bin, Some("binary `web` of package `web`, the only one")))
    );
    assert_eq!(
        select_in(only_web.path(), &["--bin", "worker"]),
        error("no binary `worker` in the workspace's default packages", "package `api` has it: add -p api")
    );
}

#[test]
fn default_run_decides() {
    let root = workspace(&[
        ("Cargo.toml", &package("site", "default-run = \"b\"")),
        ("src/bin/a.rs", "fn main() {}"),
        ("src/bin/b.rs", "fn main() {}"),
    ]);
    assert_eq!(
        select_in(root.path(), &[]),
        Ok(target("site", "b", TargetKind::Bin, Some("binary `b` of package `site`, its default-run")))
    );
    assert_eq!(select_in(root.path(), &["--bin", "a"]), Ok(target("site", "a", TargetKind::Bin, None)));
}

#[test]
fn packages_are_named_as_cargo_names_them() {
    let shop = shop(ALL);
    for specification in ["web", "web@1.2.3", "web@1", "web:1.2"] {
        let chosen = Some("binary `web` of package `web`, the only one");
        assert_eq!(select_in(shop.path(), &["-p", specification]), Ok(target("web", "web", TargetKind::Bin, chosen)));
    }
    assert_eq!(
        select_in(shop.path(), &["-p", "core", "--example", "demo"]),
        Ok(target("core", "demo", TargetKind::Example, None))
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "wep"]),
        error("the workspace has no package `wep`", "did you mean -p web?")
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "database"]),
        error("the workspace has no package `database`", "the workspace has these packages: api, web, core")
    );
}

#[test]
fn what_is_missing_is_named_with_what_there_is() {
    let shop = shop(ALL);
    assert_eq!(
        select_in(shop.path(), &["-p", "api", "--bin", "servre"]),
        error("no binary `servre` in package `api`", "did you mean --bin server?")
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "api", "--bin", "frontend"]),
        error("no binary `frontend` in package `api`", "choose one with --bin: server, worker")
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "core", "--bin", "demo"]),
        error("no binary `demo` in package `core`", "`demo` is an example: use --example demo")
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "web", "--example", "tour"]),
        error("no example `tour` in package `web`", "choose a package that has one with -p: core")
    );
}

#[test]
fn a_library_is_no_binary() {
    let shop = shop(ALL);
    assert_eq!(
        select_in(shop.path(), &["-p", "web", "--bin", "web_lib"]),
        error("`web_lib` is a library, not a binary, in package `web`", "choose one with --bin: web")
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "core", "--bin", "core"]),
        error(
            "`core` is a library, not a binary, in package `core`",
            "it has examples, to be chosen with --example: demo"
        )
    );
    assert_eq!(
        select_in(shop.path(), &["-p", "core", "--example", "plugin"]),
        error("`plugin` is a library, not an example, in package `core`", "choose one with --example: demo")
    );
}

#[test]
fn a_name_that_several_packages_have_asks_for_the_package() {
    let root = workspace(&[
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"a\", \"b\"]"),
        ("a/Cargo.toml", &package("a", "")),
        ("a/src/bin/server.rs", "fn main() {}"),
        ("b/Cargo.toml", &package("b", "")),
        ("b/src/bin/server.rs", "fn main() {}"),
    ]);
    assert_eq!(
        select_in(root.path(), &["--bin", "server"]),
        error("several packages have a binary `server`", "choose the package with -p: a, b")
    );
    assert_eq!(
        select_in(root.path(), &["-p", "b", "--bin", "server"]),
        Ok(target("b", "server", TargetKind::Bin, None))
    );
}

#[test]
fn a_workspace_that_cannot_be_read_says_why() {
    let root = workspace(&[("Cargo.toml", "[package]\nname = 3")]);
    let (message, _) = select_in(root.path(), &[]).unwrap_err();
    assert!(message.starts_with("could not read the workspace: "), "{message}");
    assert!(message.contains("invalid type: integer"), "{message}");
}
