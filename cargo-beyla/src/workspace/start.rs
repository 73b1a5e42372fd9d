//! Cargo says itself how it starts what it has built.
//!
//! `cargo run` and `cargo test` start a program with arguments, a folder and an environment that depend on the package,
//! its build scripts, the layout of the target directory, the toolchain and all of cargo's configuration. So cargo is
//! asked: it runs once more, with this tool as the runner of the target. The tool writes down how it was started, and
//! ends ([`answer`]). What cargo has built is not executed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::cargo;
use super::program::Program;
use super::target_runner::{TargetRunners, sets_runner};
use crate::cli::options::BuildOptions;
use crate::cli::runner::START;
use crate::error::Error;

/// What marks the beginning of an answer among other output.
const MARK: &[u8] = b"\0cargo-beyla start\0";

/// After this time the user hears what we wait for.
const SILENCE: Duration = Duration::from_secs(2);

/// How lines of cargo begin that say why it takes long.
const DOING: [&str; 3] = ["Blocking", "Compiling", "Downloading"];

/// The most characters of cargo's reasons that are repeated.
const REASON_MAX: usize = 600;

/// How cargo has started this tool in the place of a program.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// The target whose runner it was.
    target: OsString,
    folder: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// Writes to stdout how this process was started: in the place of the program of `arguments`, as the runner of `target`.
///
/// # Errors
/// If it cannot be written.
pub fn answer(target: OsString, arguments: Vec<OsString>) -> io::Result<()> {
    let folder = std::env::current_dir()?.into_os_string();
    let answer = Answer { target, folder, arguments, environment: std::env::vars_os().collect() };
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer.encode())?;
    stdout.flush()
}

impl Answer {
    /// Words that end with a zero byte, which none of them holds; before them, how many bytes they are.
    fn encode(self) -> Vec<u8> {
        let Self { target, folder, arguments, environment } = self;
        let count = OsString::from(arguments.len().to_string());
        let variables = environment.into_iter().map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            variable
        });
        let words = [target, folder, count].into_iter().chain(arguments).chain(variables);
        let body: Vec<u8> = words.flat_map(|word| [word.into_vec(), vec![0]].concat()).collect();
        [MARK, &(body.len() as u64).to_le_bytes(), &body].concat()
    }

    /// The answers in what cargo, its wrappers and we have printed.
    fn decode_all(mut printed: &[u8]) -> Vec<Self> {
        let mut answers = Vec::new();
        while let Some(at) = memchr::memmem::find(printed, MARK) {
            printed = &printed[at + MARK.len()..];
            let Some((size, rest)) = printed.split_first_chunk() else { break };
            let Some((body, rest)) = rest.split_at_checked(u64::from_le_bytes(*size) as usize) else { break };
            answers.extend(Self::decode(body));
            printed = rest;
        }
        answers
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut words = body.strip_suffix(&[0])?.split(|byte| *byte == 0).map(OsStr::from_bytes);
        let (target, folder) = (words.next()?.to_owned(), words.next()?.to_owned());
        let count = words.next()?.to_str()?.parse().ok()?;
        let arguments = words.by_ref().take(count).map(OsStr::to_owned).collect();
        let variable = |word: &OsStr| {
            // The first character belongs to the name, even if it is the sign.
            let at = 1 + memchr::memchr(b'=', word.as_bytes().get(1..)?)?;
            let (name, value) = word.as_bytes().split_at(at);
            Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(&value[1..]).to_owned()))
        };
        let environment = words.filter_map(variable).collect();
        Some(Self { target, folder, arguments, environment })
    }
}

/// Cargo, which was asked how it starts what it has built.
#[derive(Debug)]
pub struct Asked {
    cargo: Child,
    answers: File,
    said: File,
    runners: TargetRunners,
}

/// The same options without runners: one of the command line might have precedence over us.
pub(super) fn without_runners(options: &BuildOptions) -> BuildOptions {
    let mut options = options.clone();
    options.cargo_config.retain(|setting| !sets_runner(setting, None));
    options
}

/// Asks by a command of cargo that starts programs, such as `cargo run`; `arguments` are those of the programs.
///
/// `prepare` has the last word on the command, for one that must run as another user.
pub(super) fn ask(
    mut command: Command,
    arguments: &[OsString],
    runners: TargetRunners,
    prepare: &dyn Fn(&mut Command),
) -> Result<Asked, Error> {
    let system = |source| Error::System { what: "asking cargo how it starts programs", source };
    // By a descriptor that cargo inherits, this very program is found: whatever its path, whoever may go there, and
    // even if another was installed in its place since.
    let own = rustix::fs::open("/proc/self/exe", OFlags::PATH, Mode::empty()).map_err(|errno| system(errno.into()))?;
    let path = format!("/proc/self/fd/{}", own.as_raw_fd());
    // The environment has the last word on the runner of a target, whatever form it has elsewhere.
    for target in runners.targets() {
        command.env(TargetRunners::variable(target), format!("{path} {START} {target}"));
    }
    // Of a target that we did not expect. The condition always holds, and nobody else has written it like this.
    command.arg("--config").arg(format!("target.'cfg(not(cargo_beyla))'.runner=['{path}','{START}','']"));
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    let (answers, said) = (tempfile::tempfile().map_err(system)?, tempfile::tempfile().map_err(system)?);
    command.stdin(Stdio::null());
    command.stdout(answers.try_clone().map_err(system)?).stderr(said.try_clone().map_err(system)?);
    cargo::leave_out_package(&mut command);
    prepare(&mut command);
    cargo::end_with_us(&mut command);
    let cargo = command.spawn().map_err(cargo::not_found)?;
    Ok(Asked { cargo, answers, said, runners })
}

impl Asked {
    /// Waits until cargo has ended, and no longer builds.
    ///
    /// It may take long: cargo waits for others that build, and some build scripts make it build each time. Then `say`
    /// gets what cargo is doing.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(&mut self, say: impl FnOnce(&str)) -> Result<ExitStatus, Error> {
        let system = |source| Error::System { what: "waiting for cargo", source };
        if self.cargo.try_wait().map_err(system)?.is_none() && !self.ends_within(SILENCE).map_err(system)? {
            let said = self.said();
            let doing = said.lines().rev().map(str::trim).find(|line| DOING.iter().any(|verb| line.starts_with(verb)));
            say(doing.unwrap_or("to say how it starts programs"));
        }
        self.cargo.wait().map_err(system)
    }

    /// The programs that cargo starts, in its order, once it has ended (see [`Self::wait`]).
    ///
    /// # Errors
    /// If cargo fails.
    pub fn answer(mut self, say: impl FnOnce(&str)) -> Result<Vec<Program>, Error> {
        let status = self.wait(say)?;
        let system = |source| Error::System { what: "reading how cargo starts programs", source };
        let answers = Answer::decode_all(&contents(&self.answers).map_err(system)?);
        if !status.success() || answers.is_empty() {
            return Err(Error::Start { reason: reason(&self.said()).unwrap_or_else(|| status.to_string()) });
        }
        Ok(answers.into_iter().map(|answer| self.program(answer)).collect())
    }

    fn ends_within(&self, time: Duration) -> io::Result<bool> {
        let pid = Pid::from_raw(self.cargo.id() as i32).ok_or(io::ErrorKind::NotFound)?;
        let end = pidfd_open(pid, PidfdFlags::empty())?;
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        // Interrupted, it is as if the time were over.
        Ok(poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], timeout).unwrap_or(0) > 0)
    }

    /// What cargo has said on stderr so far.
    fn said(&self) -> String {
        // What cannot be read is not repeated.
        String::from_utf8_lossy(&contents(&self.said).unwrap_or_default()).into_owned()
    }

    /// The program as cargo starts it when this tool is not the runner.
    fn program(&self, answer: Answer) -> Program {
        let Answer { target, folder, arguments, mut environment } = answer;
        for target in self.runners.targets() {
            let name = TargetRunners::variable(target);
            let before = std::env::var_os(&name);
            environment.retain_mut(|(variable, value)| match &before {
                Some(before) if variable.as_os_str() == OsStr::new(&name) => {
                    value.clone_from(before);
                    true
                }
                _ => variable.as_os_str() != OsStr::new(&name),
            });
        }
        // Variables of a package that cargo was not shown reach the program unless cargo has set them itself.
        for (name, value) in std::env::vars_os().filter(|(name, _)| cargo::is_of_package(name)) {
            if !environment.iter().any(|(variable, _)| *variable == name) {
                environment.push((name, value));
            }
        }
        let path = PathBuf::from(arguments.first().cloned().unwrap_or_default());
        let program = Program { path, arguments, environment, folder: folder.into(), runner: None };
        match target.to_str().and_then(|target| self.runners.of(target)) {
            Some(runner) => runner.run(program),
            None => program,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // As a rule it has ended.
        let _ = self.cargo.kill();
        let _ = self.cargo.wait();
    }
}

/// What a file holds, whatever the position at which others write to it.
fn contents(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// What cargo gives as the reason of its failure, in one line.
fn reason(said: &str) -> Option<String> {
    let at = said.find("error: ")?;
    let lines: Vec<&str> =
        said[at + "error: ".len()..].lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Some(lines.join("; ").chars().filter(|character| !character.is_control()).take(REASON_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_among_other_output() {
        let answer = |target: &str| Answer {
            target: target.into(),
            folder: "/a b".into(),
            arguments: vec!["target/debug/server".into(), OsString::from_vec(vec![0xff, b'\n']), "".into()],
            environment: vec![("A".into(), "=1=\n".into()), ("EMPTY".into(), "".into()), ("=C:".into(), "x".into())],
        };
        let printed = [b"a wrapper\n", &answer("one").encode()[..], b"\0more", &answer("").encode(), MARK].concat();
        assert_eq!(Answer::decode_all(&printed), [answer("one"), answer("")]);
        let whole = answer("one").encode();
        for length in 0..whole.len() {
            assert_eq!(Answer::decode_all(&whole[..length]), [], "{length}");
        }
    }

    #[test]
    fn the_reason_of_a_failure_is_one_line() {
        let said = "    Finished `dev` profile\nerror: could not find `x`\n\nCaused by:\n  no \u{1b}[1mfile\n";
        assert_eq!(reason(said).as_deref(), Some("could not find `x`; Caused by:; no [1mfile"));
        assert_eq!(reason("warning: unused"), None);
    }
}
