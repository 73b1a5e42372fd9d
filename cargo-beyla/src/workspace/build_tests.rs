use std::collections::BTreeMap;
use std::process::Stdio;

use super::*;
use crate::cli::BuildOptions;
use crate::workspace::fixture::{package, workspace};
use crate::workspace::select::select;

const PRINT_ENVIRONMENT: &str = "fn main() { for (name, value) in std::env::vars() { println!(\"{name}={value}\") } }";

fn build_in(root: &Path, set: impl Fn(&mut TargetArguments)) -> Result<Built, Error> {
    let mut arguments = TargetArguments {
        build: BuildOptions {
            manifest_path: Some(root.join("Cargo.toml")),
            target_dir: Some(root.join("target")),
            offline: true,
            ..Default::default()
        },
        ..Default::default()
    };
    set(&mut arguments);
    let quiet = |command: &mut Command| {
        command.stderr(Stdio::null());
    };
    build(&select(&arguments, quiet)?, &arguments, quiet)
}

#[test]
fn the_executable_of_the_target_is_found_among_others() {
    let root = workspace(&[
        ("Cargo.toml", &package("site", "")),
        ("src/lib.rs", ""),
        ("src/main.rs", "fn main() {}"),
        ("src/bin/demo.rs", "fn main() {}"),
        ("examples/demo.rs", "fn main() {}"),
    ]);
    let target = root.path().join("target");
    let bin = build_in(root.path(), |arguments| arguments.bin = Some("demo".into())).unwrap();
    assert_eq!(bin.executable, target.join("debug/demo"));
    let example = build_in(root.path(), |arguments| {
        arguments.example = Some("demo".into());
        arguments.build.release = true;
    });
    assert_eq!(example.unwrap().executable, target.join("release/examples/demo"));
}

#[test]
fn the_folder_of_the_profile_is_the_same_for_binaries_and_examples() {
    for (executable, kind) in [("/t/debug/server", TargetKind::Bin), ("/t/debug/examples/server", TargetKind::Example)]
    {
        assert_eq!(output_folder(Path::new(executable), kind), Some(Path::new("/t/debug")), "{executable}");
    }
}

#[test]
fn a_build_that_fails_is_told_from_one_that_did_not_start() {
    let root = workspace(&[("Cargo.toml", &package("site", "")), ("src/main.rs", "fn main() { let x: u8 = \"\"; }")]);
    let error = build_in(root.path(), |_| {}).unwrap_err();
    assert!(matches!(error, Error::BuildFailed { .. }), "{error}");
    assert_eq!(error.exit_code(), crate::error::BUILD_FAILED);
}

/// The truth is what `cargo run` itself does.
#[test]
fn the_environment_is_that_of_cargo_run() {
    let root = workspace(&[
        (
            "Cargo.toml",
            &package(
                "site",
                "authors = [\"A\", \"B\"]\ndescription = \"d\"\nlicense = \"MIT\"\nrust-version = \"1.60.0\"",
            ),
        ),
        (
            "build.rs",
            "fn main() {\n\
                 println!(\"cargo:rustc-env=FROM_SCRIPT=yes\");\n\
                 println!(\"cargo:rustc-link-search=native={}\", std::env::var(\"OUT_DIR\").unwrap());\n\
             }",
        ),
        ("src/main.rs", PRINT_ENVIRONMENT),
    ]);
    let built = build_in(root.path(), |_| {}).unwrap();
    let ours = output(Command::new(&built.executable).envs(built.environment));

    let mut cargo = Command::new(cargo::program());
    cargo.args(["run", "--quiet", "--offline", "--manifest-path"]).arg(root.path().join("Cargo.toml"));
    cargo.arg("--target-dir").arg(root.path().join("target"));
    let cargos = output(&mut cargo);

    for name in ["FROM_SCRIPT", "OUT_DIR", "CARGO_PKG_AUTHORS", "LD_LIBRARY_PATH"] {
        assert!(cargos.contains_key(name), "cargo sets no {name}");
    }
    let differences: Vec<_> = cargos.iter().filter(|(name, value)| ours.get(*name) != Some(value)).collect();
    assert!(differences.is_empty(), "cargo: {differences:#?}, ours: {ours:#?}");
    let additions: Vec<_> = ours.keys().filter(|name| !cargos.contains_key(*name)).collect();
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
