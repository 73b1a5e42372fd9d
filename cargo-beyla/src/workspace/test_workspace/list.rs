//! Which tests a test binary has: it is asked, with the user's filters, and it knows.
//!
//! A binary that gives no list says nothing of the others: it is one failure, with its reason, and they run.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashSet;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::TestBinary;
use super::arguments::{HarnessArguments, Ignored};
use crate::error::Error;

/// A binary that has not answered by then never will.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// An answer that is larger is no list of tests.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// How often the size of an answer is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How many bytes are kept of each stream of a binary without a list: the first.
const OUTPUT_MAX: u64 = 16 * 1024;

/// The tests of a binary that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those to run, in the binary's order.
    pub tests: Vec<Arc<str>>,
    /// How many more there are, which are marked `#[ignore]`.
    pub ignored: usize,
}

/// A binary that gave no list of its tests.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// What it did instead, as in `it ended with exit code 3`.
    pub reason: Arc<str>,
    /// What it printed: the beginning of stdout, then that of stderr.
    pub output: Vec<u8>,
    /// When it was asked.
    pub asked: Instant,
    /// When it had ended, or was given up.
    pub ended: Instant,
}

/// What one binary has answered.
type Answer = Result<Vec<Arc<str>>, Unlisted>;

/// Asks each of these binaries, which have the standard harness, a limited number at a time. Each has `patience` to
/// answer.
///
/// `prepare` has the last word on each command, for one that must run as another user.
///
/// # Errors
/// If the system has no room for what they print. What a binary does itself is its own answer.
pub fn list(
    binaries: &[&TestBinary],
    arguments: &HarnessArguments,
    at_a_time: usize,
    patience: Duration,
    prepare: impl Fn(&mut Command),
) -> Result<Vec<Result<Listed, Unlisted>>, Error> {
    // Without a word on ignored tests the first answer has them all.
    let both = arguments.ignored == Ignored::Skipped;
    let questions = binaries.iter().flat_map(|binary| {
        let ignored = both.then_some((*binary, true));
        std::iter::once((*binary, false)).chain(ignored)
    });
    let mut answers = ask(&questions.collect::<Vec<_>>(), arguments, at_a_time, patience, &prepare)?.into_iter();
    let mut listed_next = || {
        let all = answers.next().unwrap_or_else(|| Ok(Vec::new()));
        let ignored = if both { answers.next() } else { None };
        Ok(listed(&all?, &ignored.transpose()?.unwrap_or_default()))
    };
    Ok(binaries.iter().map(|_| listed_next()).collect())
}

fn listed(all: &[Arc<str>], ignored: &[Arc<str>]) -> Listed {
    let ignored: HashSet<&str> = ignored.iter().map(|name| &**name).collect();
    let tests: Vec<Arc<str>> = all.iter().filter(|name| !ignored.contains(&***name)).cloned().collect();
    Listed { ignored: all.len() - tests.len(), tests }
}

/// A binary that was asked.
struct Asked {
    question: usize,
    child: Child,
    /// Ready to be read once it has ended.
    end: OwnedFd,
    stdout: File,
    stderr: File,
    since: Instant,
}

/// A binary is not waited for by those who no longer need its answer.
impl Drop for Asked {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks them all, the second of each pair for ignored tests only.
fn ask(
    questions: &[(&TestBinary, bool)],
    arguments: &HarnessArguments,
    at_a_time: usize,
    patience: Duration,
    prepare: &dyn Fn(&mut Command),
) -> Result<Vec<Answer>, Error> {
    let system = |source| Error::System { what: "listing tests", source };
    let mut answers: Vec<Answer> = questions.iter().map(|_| Ok(Vec::new())).collect();
    let mut open = questions.iter().enumerate();
    let mut asked: Vec<Asked> = Vec::new();
    loop {
        if asked.len() < at_a_time.max(1)
            && let Some((question, (binary, only_ignored))) = open.next()
        {
            // What one that gave no list would say of its ignored tests does not matter any more.
            let in_vain = *only_ignored && answers.get(question - 1).is_some_and(Result::is_err);
            if !in_vain {
                match Asked::start(question, binary, &arguments.to_list(*only_ignored), prepare).map_err(system)? {
                    Ok(one) => asked.push(one),
                    Err(unlisted) => answers[question] = Err(unlisted),
                }
            }
            continue;
        }
        if asked.is_empty() {
            return Ok(answers);
        }
        let mut ends: Vec<PollFd<'_>> =
            asked.iter().map(|one| PollFd::new(one.end.as_fd(), PollFlags::POLLIN)).collect();
        // Interrupted, it is tried again at once.
        let _ = poll(&mut ends, PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO));
        let mut index = 0;
        while let Some(one) = asked.get_mut(index) {
            match one.answer(patience).map_err(system)? {
                Some(answer) => {
                    answers[one.question] = answer;
                    drop(asked.swap_remove(index));
                }
                None => index += 1,
            }
        }
    }
}

impl Asked {
    /// Starts the binary; one that the kernel does not start has given its answer.
    fn start(
        question: usize,
        binary: &TestBinary,
        arguments: &[&str],
        prepare: &dyn Fn(&mut Command),
    ) -> io::Result<Result<Self, Unlisted>> {
        // Unlike pipes, files need no reader while the binary runs.
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = binary.program.command();
        command.args(arguments).stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        prepare(&mut command);
        let since = Instant::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let reason = format!("{} could not be started: {error}", binary.program.path.display()).into();
                return Ok(Err(Unlisted { reason, output: Vec::new(), asked: since, ended: Instant::now() }));
            }
        };
        let opened = rustix::process::Pid::from_raw(child.id() as i32)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
        match opened {
            Ok(end) => Ok(Ok(Self { question, child, end, stdout, stderr, since })),
            Err(errno) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(errno.into())
            }
        }
    }

    /// Its answer, if it has given it.
    fn answer(&mut self, patience: Duration) -> io::Result<Option<Answer>> {
        if self.stdout.metadata()?.len() > SIZE_MAX || self.stderr.metadata()?.len() > SIZE_MAX {
            return Ok(Some(Err(self.unlisted("it prints without end"))));
        }
        let Some(status) = self.child.try_wait()? else {
            let given_up = self.since.elapsed() >= patience;
            return Ok(given_up.then(|| Err(self.unlisted(&format!("it has not answered within {patience:?}")))));
        };
        if !status.success() {
            return Ok(Some(Err(self.unlisted(&describe(status)))));
        }
        let text = from_start(&mut self.stdout, SIZE_MAX)?;
        Ok(Some(parse(&String::from_utf8_lossy(&text)).map_err(|line| {
            let line: String = line.chars().take(100).collect();
            self.unlisted(&format!("it printed `{}`, which is no test", line.escape_debug()))
        })))
    }

    /// It gave no list: what it did instead, and what it said on stderr.
    fn unlisted(&mut self, reason: &str) -> Unlisted {
        // What cannot be read is not shown.
        let mut output = from_start(&mut self.stdout, OUTPUT_MAX).unwrap_or_default();
        let stderr = from_start(&mut self.stderr, OUTPUT_MAX).unwrap_or_default();
        let said = String::from_utf8_lossy(&stderr);
        let said = said.lines().map(str::trim).find(|line| !line.is_empty());
        let said = said.map(|line| line.chars().take(300).collect::<String>().escape_debug().to_string());
        let said = said.map_or(String::new(), |said| format!("; it said `{said}`"));
        if !output.is_empty() && !output.ends_with(b"\n") {
            output.push(b'\n');
        }
        output.extend(&stderr);
        Unlisted { reason: format!("{reason}{said}").into(), output, asked: self.since, ended: Instant::now() }
    }
}

fn from_start(file: &mut File, at_most: u64) -> io::Result<Vec<u8>> {
    use std::io::Seek;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(at_most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The names in `name: test` and `name: benchmark`, or the first line that is neither.
fn parse(text: &str) -> Result<Vec<Arc<str>>, &str> {
    let name = |line| -> Option<Arc<str>> {
        let (name, kind): (&str, &str) = str::rsplit_once(line, ": ")?;
        let plain = !name.is_empty() && !name.starts_with('-') && !name.chars().any(char::is_control);
        (plain && matches!(kind, "test" | "benchmark")).then(|| name.into())
    };
    text.lines().map(|line| name(line).ok_or(line)).collect()
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(signal) => format!("it was killed by {signal}"),
            Err(_) => format!("it was killed by signal {signal}"),
        },
        (None, None) => format!("it ended with {status}"),
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
