use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use super::*;
use crate::cli::options::BuildOptions;
use crate::workspace::fixture::{package, workspace};
use crate::workspace::test_workspace::TestWorkspace;

fn build_in(root: &Path, set: impl Fn(&mut TestTargetArguments)) -> BuiltTests {
    let prepare = |command: &mut Command| {
        command.stderr(Stdio::null()).current_dir(root);
    };
    let mut arguments = TestTargetArguments {
        build: BuildOptions {
            manifest_path: Some(root.join("Cargo.toml")),
            target_dir: Some(root.join("target")),
            offline: true,
            ..Default::default()
        },
        ..Default::default()
    };
    set(&mut arguments);
    let workspace = TestWorkspace::read(&arguments, prepare).unwrap();
    let compiled = workspace.compile(&arguments, None, prepare).unwrap();
    let executables = compiled.executables().unwrap();
    let built = compiled.start(|_| {}, prepare).unwrap();
    assert_eq!(executables.len(), built.binaries.len(), "{executables:?}");
    built
}

fn ids(built: &BuiltTests) -> Vec<&str> {
    built.binaries.iter().map(|binary| &*binary.id).collect()
}

#[test]
fn ids_are_those_of_the_field() {
    for (kind, id) in [
        (Kind::Lib, "shop"),
        (Kind::ProcMacro, "shop::proc-macro/x"),
        (Kind::Bin, "shop::bin/x"),
        (Kind::Test, "shop::x"),
        (Kind::Bench, "shop::bench/x"),
        (Kind::Example, "shop::example/x"),
    ] {
        assert_eq!(kind.id("shop", "x"), id);
    }
}

#[test]
fn what_is_built_is_what_cargo_test_would_run_in_its_order() {
    let root = workspace(&[
        (
            "Cargo.toml",
            &package("shop", "[[test]]\nname = \"own\"\nharness = false\n[[example]]\nname = \"tour\"\ntest = true"),
        ),
        ("src/lib.rs", ""),
        ("src/main.rs", "fn main() {}"),
        ("src/bin/server.rs", "fn main() {}"),
        ("tests/api.rs", ""),
        ("tests/own.rs", "fn main() {}"),
        ("examples/tour.rs", "fn main() {}"),
        ("examples/other.rs", "fn main() {}"),
    ]);
    let built = build_in(root.path(), |_| {});
    let expected = ["shop", "shop::bin/server", "shop::bin/shop", "shop::api", "shop::own", "shop::example/tour"];
    assert_eq!(ids(&built), expected);
    let custom: Vec<&str> = built.binaries.iter().filter(|binary| !binary.harness).map(|binary| &*binary.id).collect();
    assert_eq!(custom, ["shop::own"]);
    assert_eq!(built.target_directory, root.path().join("target").canonicalize().unwrap());
    assert!(built.binaries.iter().all(|binary| binary.program.folder == root.path()));
    let spawns = |id: &str| &built.binaries.iter().find(|binary| &*binary.id == id).unwrap().spawns;
    assert_eq!(spawns("shop"), &Vec::<PathBuf>::new());
    assert_eq!(spawns("shop::api").len(), 2);

    let one = build_in(root.path(), |arguments| {
        arguments.test = vec!["api".into()];
        arguments.bin = vec!["server".into()];
    });
    assert_eq!(ids(&one), ["shop::bin/server", "shop::api"]);
}

/// The truth is what `cargo test` itself does.
#[test]
fn the_start_is_that_of_cargo_test() {
    const PRINT_ALL: &str = "fn main() {\n\
         for (name, value) in std::env::vars() { println!(\"{name}={value}\") }\n\
         println!(\"FOLDER={}\", std::env::current_dir().unwrap().display());\n\
         println!(\"ARGUMENTS={:?}\", std::env::args_os().collect::<Vec<_>>());\n\
         }";
    let harness = "[[test]]\nname = \"own\"\nharness = false";
    let root = workspace(&[
        ("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"inner\"]"),
        ("inner/Cargo.toml", &package("inner", harness)),
        (
            "inner/build.rs",
            "fn main() {\n\
                 println!(\"cargo:rustc-env=FROM_SCRIPT=yes\");\n\
                 println!(\"cargo:rustc-link-search=native={}\", std::env::var(\"OUT_DIR\").unwrap());\n\
             }",
        ),
        ("inner/src/bin/server.rs", "fn main() {}"),
        ("inner/src/lib.rs", "/// ```\n/// panic!(\"documentation is not tested\")\n/// ```\npub fn f() {}"),
        ("inner/tests/own.rs", PRINT_ALL),
        (
            ".cargo/config.toml",
            "include = [\"extra.toml\"]\n[build]\nbuild-dir = \"intermediate\"\n\
             [target.'cfg(unix)']\nrunner = [\"env\", \"RUNNER=a b\"]",
        ),
        (".cargo/extra.toml", "[env]\nNEEDED = \"x\""),
    ]);
    let built = build_in(root.path(), |_| {});
    assert_eq!(ids(&built), ["inner", "inner::bin/server", "inner::own"]);
    let [_, _, own] = &built.binaries[..] else { panic!("{:?}", ids(&built)) };
    assert_eq!(own.program.runner.as_deref(), Some("env RUNNER=a b"));
    let ours = output(&mut own.program.command());

    let mut cargo = Command::new(cargo::program());
    cargo.args(["test", "--offline", "--test", "own", "--manifest-path"]).arg(root.path().join("Cargo.toml"));
    cargo.arg("--target-dir").arg(root.path().join("target")).current_dir(root.path());
    let cargos = output(&mut cargo);

    for (name, value) in [("FROM_SCRIPT", "yes"), ("NEEDED", "x"), ("RUNNER", "a b")] {
        assert_eq!(cargos.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(cargos["LD_LIBRARY_PATH"].contains("/intermediate/debug/"), "{}", cargos["LD_LIBRARY_PATH"]);
    assert_eq!(ours, cargos);
}

fn output(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let variables = text.lines().filter_map(|line| line.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
