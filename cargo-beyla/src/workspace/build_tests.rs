use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use super::*;
use crate::cli::options::BuildOptions;
use crate::workspace::fixture::{package, workspace};
use crate::workspace::program::Program;
use crate::workspace::select::select;

const PRINT_ALL: &str = "fn main() {\n\
     for (name, value) in std::env::vars() { println!(\"{name}={value}\") }\n\
     println!(\"FOLDER={}\", std::env::current_dir().unwrap().display());\n\
     println!(\"ARGUMENTS={:?}\", std::env::args_os().collect::<Vec<_>>());\n\
     }";

fn arguments(root: &Path) -> TargetArguments {
    let build = BuildOptions {
        manifest_path: Some(root.join("Cargo.toml")),
        target_dir: Some(root.join("target")),
        offline: true,
        ..Default::default()
    };
    TargetArguments { build, ..Default::default() }
}

fn build_in(root: &Path, set: impl Fn(&mut TargetArguments)) -> Result<Built, Error> {
    let mut arguments = arguments(root);
    set(&mut arguments);
    let quiet = |command: &mut Command| {
        command.stderr(Stdio::null());
    };
    build(&select(&arguments, quiet)?, &arguments, &[], quiet)
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
fn a_build_that_fails_is_told_from_one_that_did_not_start() {
    let root = workspace(&[("Cargo.toml", &package("site", "")), ("src/main.rs", "fn main() { let x: u8 = \"\"; }")]);
    let error = build_in(root.path(), |_| {}).unwrap_err();
    assert!(matches!(error, Error::BuildFailed { .. }), "{error}");
    assert_eq!(error.exit_code(), crate::error::BUILD_FAILED);
}

/// How we would start the only program of a workspace, and what it prints when cargo starts it. Both work in the folder
/// of the workspace, where its configuration is.
fn ours_and_cargos(
    root: &Path,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> (Program, [BTreeMap<String, String>; 2]) {
    let mut arguments = arguments(root);
    arguments.build.target_dir = None;
    arguments.build.cargo_config = flags.iter().map(|flag| (*flag).to_owned()).collect();
    // The folder of the tests' own build is not that of the package.
    let place = |command: &mut Command| {
        command.current_dir(root).envs(variables.iter().copied()).env_remove("CARGO_TARGET_DIR");
    };
    let prepare = |command: &mut Command| place(command.stderr(Stdio::null()));
    let selection = select(&arguments, prepare).unwrap();
    let server_arguments = ["one".into(), "--two".into(), "three four".into()];
    let built = build(&selection, &arguments, &server_arguments, prepare).unwrap();
    let [program] = &built.start.answer(|_| {}).unwrap()[..] else { panic!("one program") };
    let ours = output(&mut program.command());

    let mut cargo = Command::new(cargo::program());
    cargo.args(["run", "--quiet", "--offline", "--manifest-path"]).arg(root.join("Cargo.toml"));
    cargo::configure(&arguments.build.cargo_config, &mut cargo);
    cargo.arg("--").args(server_arguments);
    place(&mut cargo);
    let cargos = output(&mut cargo);
    (program.clone(), [ours, cargos])
}

fn output(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let variables = text.lines().filter_map(|line| line.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The truth is what `cargo run` itself does.
#[test]
fn the_start_is_that_of_cargo_run() {
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
        ("src/main.rs", PRINT_ALL),
        (
            ".cargo/config.toml",
            "include = [\"extra.toml\", { path = \"more/table.toml\" }, { path = \"none.toml\", optional = true }]\n\
             [build]\nbuild-dir = \"intermediate\"\n\
             [env]\nHERE = { value = \"data\", relative = true }\nSET = \"no\"\nFORCED = { value = \"yes\", force = true }",
        ),
        (".cargo/extra.toml", "[env]\nNEEDED = \"x\""),
        (".cargo/more/table.toml", "[env]\nALSO = \"y\""),
    ]);
    let (program, [ours, cargos]) = ours_and_cargos(root.path(), &[("SET", "before"), ("FORCED", "before")], &[]);
    assert_eq!(program.runner, None);
    assert_eq!(ours, cargos);
    for (name, value) in [("FROM_SCRIPT", "yes"), ("NEEDED", "x"), ("ALSO", "y"), ("SET", "before"), ("FORCED", "yes")]
    {
        assert_eq!(cargos.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(cargos["LD_LIBRARY_PATH"].contains("/intermediate/debug/"), "{}", cargos["LD_LIBRARY_PATH"]);
    assert_eq!(cargos["ARGUMENTS"], "[\"target/debug/site\", \"one\", \"--two\", \"three four\"]");
}

/// In all its forms, whatever form ours has.
#[test]
fn a_runner_of_the_users_runs_the_program_and_not_us() {
    let root = workspace(&[("Cargo.toml", &package("site", "")), ("src/main.rs", PRINT_ALL), ("tools/note", "")]);
    std::os::unix::fs::symlink("/usr/bin/env", root.path().join("tools/my env")).unwrap();
    let host = Questions::ask(&[], &|_| {}).answer().targets().next().unwrap().to_owned();
    let config = root.path().join(".cargo/config.toml");
    std::fs::create_dir_all(root.path().join(".cargo")).unwrap();
    for (settings, flags, needed) in [
        ("[target.'cfg(unix)']\nrunner = ['env', 'NEEDED=a b']".to_owned(), &[][..], "a b"),
        ("[target.'cfg(unix)']\nrunner = 'env NEEDED=string'".to_owned(), &[], "string"),
        (format!("[target.{host}]\nrunner = ['env', 'NEEDED=list']"), &[], "list"),
        (format!("[target.{host}]\nrunner = 'env NEEDED=target'"), &[], "target"),
        (format!("[target.{host}]\nrunner = ['tools/my env', 'NEEDED=relative']"), &[], "relative"),
        (
            "[target.'cfg(unix)']\nrunner = 'env NEEDED=no'".to_owned(),
            &[&*format!("target.{host}.runner='env NEEDED=flag'")],
            "flag",
        ),
    ] {
        std::fs::write(&config, &settings).unwrap();
        let (program, [ours, cargos]) = ours_and_cargos(root.path(), &[], flags);
        assert_eq!(ours, cargos, "{settings}");
        assert_eq!(cargos.get("NEEDED").map(String::as_str), Some(needed), "{settings}");
        assert!(program.runner.is_some_and(|runner| runner.contains(needed)), "{settings}");
    }
}

#[test]
fn another_target_has_its_own_runner() {
    let root = workspace(&[("Cargo.toml", &package("site", "")), ("src/main.rs", PRINT_ALL)]);
    let host = Questions::ask(&[], &|_| {}).answer().targets().next().unwrap().to_owned();
    let flags = [format!("build.target='{host}'"), format!("target.{host}.runner=['env', 'NEEDED=x']")];
    let (program, [ours, cargos]) = ours_and_cargos(root.path(), &[], &flags.each_ref().map(String::as_str));
    assert_eq!(ours, cargos);
    assert_eq!(cargos.get("NEEDED").map(String::as_str), Some("x"));
    let executable = format!("target/{host}/debug/site");
    assert_eq!(program.arguments[..3], ["env".into(), "NEEDED=x".into(), OsString::from(executable)]);
}

#[test]
fn why_cargo_cannot_start_it_is_told() {
    let root = workspace(&[("Cargo.toml", &package("site", "")), ("src/main.rs", "fn main() {}")]);
    let fails = |command: &mut Command| {
        if command.get_args().any(|argument| argument == "run") {
            command.env("CARGO_TERM_COLOR", "nonsense");
        }
    };
    let arguments = arguments(root.path());
    let built = build(&select(&arguments, fails).unwrap(), &arguments, &[], fails).unwrap();
    let error = built.start.answer(|_| {}).unwrap_err();
    assert_eq!(error.exit_code(), crate::error::BUILD_FAILED);
    assert!(error.to_string().contains("nonsense"), "{error}");
}
