//! The runner that cargo's configuration has for what it builds: `target.<triple>.runner`, `target.'cfg(...)'.runner` or
//! `CARGO_TARGET_<TRIPLE>_RUNNER`.
//!
//! While this tool is the runner ([`super::start`]), cargo does not say which other one is configured. But it prints its
//! configuration: `cargo config get` has read all files, with those that they include, and the command line. That command
//! is unstable; where it fails, a runner is known only by its variable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use cargo_metadata::cargo_platform::{Cfg, CfgExpr};
use toml::{Table, Value};

use super::cargo;
use super::program::Program;

/// Questions to cargo and the compiler about what decides on runners. They answer while we do other things.
pub(super) struct Questions {
    settings: Option<Child>,
    compiler: Option<Child>,
    /// The settings for cargo of the command line.
    command_line: Vec<String>,
}

/// What decides on runners.
#[derive(Debug, Default)]
pub(super) struct TargetRunners {
    /// Cargo's configuration without variables.
    settings: Table,
    /// The same as cargo has printed it, each value with its origin.
    printed: String,
    /// The targets that cargo may build for.
    targets: Vec<String>,
    /// The settings for cargo of the command line.
    command_line: Vec<String>,
}

/// A runner as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runner {
    /// The program, as a path or as a name to be looked for in PATH.
    program: PathBuf,
    /// All words of it, as they are written.
    words: Vec<String>,
}

impl Questions {
    /// Asks; `command_line` are settings for cargo. `prepare` has the last word on each command, for one that must run
    /// as another user.
    pub(super) fn ask(command_line: &[String], prepare: &dyn Fn(&mut Command)) -> Self {
        let ask = |mut command: Command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            prepare(&mut command);
            cargo::end_with_us(&mut command);
            // Without an answer, nothing is known of runners.
            command.spawn().ok()
        };
        let mut settings = Command::new(cargo::program());
        settings.args(["-Zunstable-options", "config", "get", "--show-origin"]).env("RUSTC_BOOTSTRAP", "1");
        cargo::configure(command_line, &mut settings);
        let mut compiler = Command::new(compiler());
        compiler.arg("-vV");
        Self { settings: ask(settings), compiler: ask(compiler), command_line: command_line.to_vec() }
    }

    /// Waits for the answers.
    pub(super) fn answer(self) -> TargetRunners {
        let Self { settings, compiler, command_line } = self;
        let printed = settings.and_then(output).unwrap_or_default();
        let settings: Table = toml::from_str(&printed).unwrap_or_default();
        let compiler = compiler.and_then(output).unwrap_or_default();
        let host = compiler.lines().find_map(|line| line.strip_prefix("host: "));
        let build_target = settings.get("build").and_then(|build| build.get("target"));
        let targets = words(build_target).into_iter().chain(std::env::var("CARGO_BUILD_TARGET").ok());
        let mut targets: Vec<String> =
            host.map(str::to_owned).into_iter().chain(targets).map(|target| short_name(&target)).collect();
        targets.sort_unstable();
        targets.dedup();
        TargetRunners { settings, printed, targets, command_line }
    }
}

impl TargetRunners {
    /// The variable that has the last word on the runner of a target.
    pub(super) fn variable(target: &str) -> String {
        format!("CARGO_TARGET_{}_RUNNER", target.to_uppercase().replace('-', "_"))
    }

    /// The targets that cargo may build for.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(String::as_str)
    }

    /// The runner of a target, unless it is this tool.
    pub(super) fn of(&self, target: &str) -> Option<Runner> {
        let variable = std::env::var(Self::variable(target)).ok();
        let variable = variable.filter(|_| !self.command_line.iter().any(|setting| sets_runner(setting, Some(target))));
        let table = self.settings.get("target").and_then(Value::as_table);
        let of_target = || Some(words(table?.get(target)?.get("runner"))).filter(|words| !words.is_empty());
        let words = match variable {
            Some(variable) => split(&variable),
            None => of_target().or_else(|| self.by_condition(target))?,
        };
        let program = self.resolve(words.first()?);
        let is_ours = program.file_stem().is_some_and(|name| name == env!("CARGO_PKG_NAME"))
            && words.get(1).is_some_and(|word| word == "__runner");
        (!is_ours).then_some(Runner { program, words })
    }

    /// The runner of `target.'cfg(...)'`, if there is one whose condition holds.
    fn by_condition(&self, target: &str) -> Option<Vec<String>> {
        let table = self.settings.get("target")?.as_table()?;
        let conditional: Vec<(CfgExpr, Vec<String>)> = table
            .iter()
            .filter_map(|(key, settings)| {
                let condition = key.strip_prefix("cfg(")?.strip_suffix(')')?;
                Some((CfgExpr::from_str(condition).ok()?, words(settings.get("runner"))))
            })
            .filter(|(_, words)| !words.is_empty())
            .collect();
        if conditional.is_empty() {
            return None;
        }
        let output = Command::new(compiler()).args(["--print", "cfg", "--target", target]).output().ok()?;
        let output = String::from_utf8(output.stdout).ok()?;
        let holds: Vec<Cfg> = output.lines().filter_map(|line| Cfg::from_str(line).ok()).collect();
        conditional.into_iter().find(|(condition, _)| condition.matches(&holds)).map(|(_, words)| words)
    }

    /// A relative path begins in the folder that holds the `.cargo` of the file that it stands in.
    fn resolve(&self, program: &str) -> PathBuf {
        let path = PathBuf::from(program);
        if !program.contains('/') || path.is_absolute() {
            return path;
        }
        let start = format!("\"{program}");
        let line = self.printed.lines().find(|line| line.contains(&start));
        let origin = line.and_then(|line| line.rsplit_once("# ")).map(|(_, origin)| Path::new(origin.trim()));
        let folder = origin.filter(|origin| origin.is_absolute()).and_then(Path::parent).and_then(Path::parent);
        let folder = folder.map(Path::to_owned).or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        folder.join(path)
    }
}

impl Runner {
    /// The program as it is started by this runner.
    pub(super) fn run(self, program: Program) -> Program {
        let Self { program: path, words } = self;
        let Program { arguments, environment, folder, .. } = program;
        let search = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
        // What is not found, the kernel will not find either, and says so.
        let found = which::which_in(&path, search, &folder).unwrap_or(path);
        let arguments = words.iter().map(OsString::from).chain(arguments).collect();
        Program { path: found, arguments, environment, folder, runner: Some(words.join(" ")) }
    }
}

/// Whether a setting of the command line is a runner, of any target or of this one.
pub(super) fn sets_runner(setting: &str, target: Option<&str>) -> bool {
    let Ok(table) = toml::from_str::<Table>(setting) else { return false };
    let Some(targets) = table.get("target").and_then(Value::as_table) else { return false };
    targets
        .iter()
        .any(|(name, settings)| settings.get("runner").is_some() && target.is_none_or(|target| name == target))
}

fn compiler() -> OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn output(child: Child) -> Option<String> {
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Cargo takes lists of words, and strings that are split.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => split(text),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The name of a target, which may be given as the path of its specification.
fn short_name(target: &str) -> String {
    match target.strip_suffix(".json") {
        Some(path) => path.rsplit('/').next().unwrap_or(path).to_owned(),
        None => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "riscv64gc-unknown-linux-gnu";

    fn runners(printed: &str) -> TargetRunners {
        let settings = toml::from_str(printed).expect("cargo prints TOML");
        TargetRunners { settings, printed: printed.to_owned(), ..TargetRunners::default() }
    }

    fn of(printed: &str) -> Option<(String, String)> {
        let runner = runners(printed).of(TARGET)?;
        Some((runner.program.display().to_string(), runner.words.join("|")))
    }

    #[test]
    fn a_runner_has_many_forms() {
        let runner = |program: &str, words: &str| Some((program.to_owned(), words.to_owned()));
        for (printed, expected) in [
            ("build.jobs = 2 # /w/.cargo/config.toml", None),
            ("target.x86_64-unknown-linux-gnu.runner = \"other\" # /w/.cargo/config.toml", None),
            ("target.riscv64gc-unknown-linux-gnu.linker = \"cc\" # /w/.cargo/config.toml", None),
            (
                "target.riscv64gc-unknown-linux-gnu.runner = \"env A=1\" # /w/.cargo/config.toml",
                runner("env", "env|A=1"),
            ),
            (
                "target.riscv64gc-unknown-linux-gnu.runner = [\n    \"env\", # /w/.cargo/config.toml\n    \"A=1 2\", # x\n]",
                runner("env", "env|A=1 2"),
            ),
            (
                "target.riscv64gc-unknown-linux-gnu.runner = \"./run.sh -x\" # /w/.cargo/config.toml",
                runner("/w/./run.sh", "./run.sh|-x"),
            ),
            (
                "target.riscv64gc-unknown-linux-gnu.runner = [\n    \"tools/run\", # /w/.cargo/more/extra.toml\n]",
                runner("/w/.cargo/tools/run", "tools/run"),
            ),
            (
                "target.riscv64gc-unknown-linux-gnu.runner = \"/opt/bin/cargo-beyla __runner\" # /w/.cargo/config.toml",
                None,
            ),
            ("target.\"cfg(windows)\".runner = \"wine\" # /w/.cargo/config.toml", None),
            (
                "target.\"cfg(windows)\".runner = \"wine\" # x\n\
                 target.\"cfg(all(unix, target_arch = \\\"riscv64\\\"))\".runner = \"qemu-riscv64\" # x",
                runner("qemu-riscv64", "qemu-riscv64"),
            ),
            (
                "target.\"cfg(unix)\".runner = \"one\" # x\ntarget.riscv64gc-unknown-linux-gnu.runner = \"two\" # x",
                runner("two", "two"),
            ),
        ] {
            assert_eq!(of(printed), expected, "{printed}");
        }
    }

    #[test]
    fn settings_of_the_command_line_that_are_runners_are_told_from_others() {
        assert!(sets_runner("target.a.runner='x'", Some("a")));
        assert!(sets_runner("target.'cfg(unix)'.runner=['x', 'y']", None));
        for (setting, target) in [("target.a.runner='x'", Some("b")), ("target.a.linker='x'", None), ("runner", None)] {
            assert!(!sets_runner(setting, target), "{setting}");
        }
    }

    #[test]
    fn variables_and_targets_have_cargos_names() {
        assert_eq!(TargetRunners::variable("x86_64-unknown-linux-gnu"), "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER");
        assert_eq!(short_name("targets/my-linux.json"), "my-linux");
        assert_eq!(short_name("x86_64-unknown-linux-musl"), "x86_64-unknown-linux-musl");
    }
}
