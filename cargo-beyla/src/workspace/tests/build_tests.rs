use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use super::*;
use crate::cli::BuildOptions;
use crate::workspace::fixture::{package, workspace};
use crate::workspace::tests::TestWorkspace;

fn quiet(command: &mut Command) {
    command.stderr(Stdio::null());
}

fn build_in(root: &Path, set: impl Fn(&mut TestTargetArguments)) -> BuiltTests {
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
    TestWorkspace::read(&arguments, quiet).unwrap().build(&arguments, None, quiet).unwrap()
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
    assert!(built.binaries.iter().all(|binary| binary.folder == root.path()));

    let one = build_in(root.path(), |arguments| {
        arguments.test = vec!["api".into()];
        arguments.bin = vec!["server".into()];
    });
    assert_eq!(ids(&one), ["shop::bin/server", "shop::api"]);
}

/// The truth is what `cargo test` itself does.
#[test]
fn the_environment_is_that_of_cargo_test() {
    const PRINT_ENVIRONMENT: &str = "fn main() {\n\
         for (name, value) in std::env::vars() { println!(\"{name}={value}\") }\n\
         println!(\"FOLDER={}\", std::env::current_dir().unwrap().display());\n\
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
        ("inner/tests/own.rs", PRINT_ENVIRONMENT),
    ]);
    let built = build_in(root.path(), |arguments| arguments.test = vec!["own".into()]);
    let [own] = &built.binaries[..] else { panic!("{:?}", ids(&built)) };
    let ours = output(Command::new(&own.executable).envs(own.environment.iter().cloned()).current_dir(&own.folder));

    let mut cargo = Command::new(cargo::program());
    cargo.args(["test", "--quiet", "--offline", "--test", "own", "--manifest-path"]);
    cargo.arg(root.path().join("Cargo.toml")).arg("--target-dir").arg(root.path().join("target"));
    let cargos = output(&mut cargo);

    for name in ["FROM_SCRIPT", "OUT_DIR", "CARGO_PKG_AUTHORS", "LD_LIBRARY_PATH", "CARGO_MANIFEST_DIR"] {
        assert!(cargos.contains_key(name), "cargo sets no {name}");
    }
    let differences: Vec<_> =
        cargos.iter().filter(|(name, value)| *name != "PWD" && ours.get(*name) != Some(value)).collect();
    assert!(differences.is_empty(), "cargo: {differences:#?}, ours: {ours:#?}");
    // Cargo sets it since 1.94.
    let additions: Vec<_> =
        ours.keys().filter(|name| !cargos.contains_key(*name) && *name != "CARGO_BIN_EXE_server").collect();
    assert!(additions.is_empty(), "{additions:?}");
}

fn output(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
