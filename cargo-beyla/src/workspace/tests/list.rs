//! Which tests a test binary has: it is asked, with the user's filters, and it knows.

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
const PATIENCE: Duration = Duration::from_mins(1);

/// An answer that is larger is no list of tests.
const SIZE_MAX: u64 = 64 * 1024 * 1024;

/// How often the size of an answer is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The tests of a binary that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those to run, in the binary's order.
    pub tests: Vec<Arc<str>>,
    /// How many more there are, which are marked `#[ignore]`.
    pub ignored: usize,
}

/// Asks each of these binaries, which have the standard harness, at most so many at a time.
///
/// `prepare` has the last word on each command, for one that must run as another user.
pub fn list(
    binaries: &[&TestBinary],
    arguments: &HarnessArguments,
    at_a_time: usize,
    prepare: impl Fn(&mut Command),
) -> Result<Vec<Listed>, Error> {
    // Without a word on ignored tests the first answer has them all.
    let both = arguments.ignored == Ignored::Skipped;
    let questions = binaries.iter().flat_map(|binary| {
        let ignored = both.then_some((*binary, true));
        std::iter::once((*binary, false)).chain(ignored)
    });
    let answers = ask(&questions.collect::<Vec<_>>(), arguments, at_a_time, &prepare)?;
    let per_binary = if both { 2 } else { 1 };
    Ok(answers.chunks(per_binary).map(listed).collect())
}

/// The answers to the question for all tests and, if it was put, to that for the ignored ones.
fn listed(answers: &[Vec<Arc<str>>]) -> Listed {
    let (all, ignored) = answers.split_first().map_or((&[][..], &[][..]), |(all, rest)| (all, rest));
    let ignored: HashSet<&str> = ignored.iter().flatten().map(|name| &**name).collect();
    let tests: Vec<Arc<str>> = all.iter().filter(|name| !ignored.contains(&***name)).cloned().collect();
    Listed { ignored: all.len() - tests.len(), tests }
}

/// A binary that was asked.
struct Asked<'a> {
    question: usize,
    binary: &'a TestBinary,
    child: Child,
    /// Ready to be read once it has ended.
    end: OwnedFd,
    stdout: File,
    stderr: File,
    since: Instant,
}

/// Asks them all, the second of each pair for ignored tests only.
fn ask(
    questions: &[(&TestBinary, bool)],
    arguments: &HarnessArguments,
    at_a_time: usize,
    prepare: &dyn Fn(&mut Command),
) -> Result<Vec<Vec<Arc<str>>>, Error> {
    let mut answers = vec![Vec::new(); questions.len()];
    let mut open = questions.iter().enumerate();
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let result = loop {
        if asked.len() < at_a_time
            && let Some((question, (binary, only_ignored))) = open.next()
        {
            match Asked::start(question, binary, &arguments.to_list(*only_ignored), prepare) {
                Ok(one) => asked.push(one),
                Err(source) => break Err(Error::Launch { executable: binary.program.path.clone(), source }),
            }
            continue;
        }
        if asked.is_empty() {
            break Ok(answers);
        }
        let mut ends: Vec<PollFd<'_>> =
            asked.iter().map(|one| PollFd::new(one.end.as_fd(), PollFlags::POLLIN)).collect();
        // Interrupted, it is tried again at once.
        let _ = poll(&mut ends, PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO));
        match take(&mut asked, &mut answers) {
            Ok(()) => {}
            Err(error) => break Err(error),
        }
    };
    for mut one in asked {
        // It may have ended by itself.
        let _ = one.child.kill();
        let _ = one.child.wait();
    }
    result
}

/// Takes the answers of those that have ended.
fn take(asked: &mut Vec<Asked<'_>>, answers: &mut [Vec<Arc<str>>]) -> Result<(), Error> {
    let mut index = 0;
    while let Some(one) = asked.get_mut(index) {
        if let Some(answer) = one.answer()? {
            let one = asked.swap_remove(index);
            if let Some(place) = answers.get_mut(one.question) {
                *place = answer;
            }
        } else {
            index += 1;
        }
    }
    Ok(())
}

impl<'a> Asked<'a> {
    fn start(
        question: usize,
        binary: &'a TestBinary,
        arguments: &[&str],
        prepare: &dyn Fn(&mut Command),
    ) -> io::Result<Self> {
        // Files, unlike pipes, want nobody who reads them meanwhile.
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = binary.program.command();
        command.args(arguments).stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        prepare(&mut command);
        let mut child = command.spawn()?;
        let opened = rustix::process::Pid::from_raw(child.id() as i32)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
        match opened {
            Ok(end) => Ok(Self { question, binary, child, end, stdout, stderr, since: Instant::now() }),
            Err(errno) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(errno.into())
            }
        }
    }

    /// Its answer, if it has given it.
    fn answer(&mut self) -> Result<Option<Vec<Arc<str>>>, Error> {
        let system = |source| Error::System { what: "listing tests", source };
        if self.stdout.metadata().map_err(system)?.len() > SIZE_MAX {
            return Err(self.failed("it prints without end"));
        }
        let Some(status) = self.child.try_wait().map_err(system)? else {
            if self.since.elapsed() >= PATIENCE {
                return Err(self.failed(&format!("it has not answered within {PATIENCE:?}")));
            }
            return Ok(None);
        };
        if !status.success() {
            return Err(self.failed(&describe(status)));
        }
        let text = from_start(&mut self.stdout, SIZE_MAX).map_err(system)?;
        match parse(&text) {
            Ok(names) => Ok(Some(names)),
            Err(line) => {
                let line: String = line.chars().take(100).collect();
                Err(self.failed(&format!("it printed `{}`, which is no test", line.escape_debug())))
            }
        }
    }

    fn failed(&mut self, reason: &str) -> Error {
        let said = from_start(&mut self.stderr, 64 * 1024).unwrap_or_default();
        let said = said.lines().map(str::trim).find(|line| !line.is_empty());
        Error::List {
            binary: self.binary.id.to_string(),
            reason: reason.to_owned(),
            said: said.map(|line| line.chars().take(300).collect::<String>().escape_debug().to_string()),
        }
    }
}

fn from_start(file: &mut File, at_most: u64) -> io::Result<String> {
    use std::io::Seek;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(at_most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        (Some(code), _) => format!("asked for its tests, it ended with exit code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(signal) => format!("asked for its tests, it was killed by {signal}"),
            Err(_) => format!("asked for its tests, it was killed by signal {signal}"),
        },
        (None, None) => format!("asked for its tests, it ended with {status}"),
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
