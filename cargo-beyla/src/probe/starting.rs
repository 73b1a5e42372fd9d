//! The start of the helper: a program that becomes it, unless sudo or the kernel is in its way.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use nix::unistd::{Uid, User};
use rustix::fs::{MemfdFlags, memfd_create};

use super::greeting::Greeting;
use super::installed::SETUP;
use super::privilege::Way;
use super::programs::VERIFIER_REFUSES;
use super::requirements::check::{Check, PRIVILEGE};
use super::requirements::facts::Facts;
use crate::error::Error;

/// The most bytes of what sudo said that are passed on.
const SAID_MAX: usize = 4096;

/// Whether sudo may ask for a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// On the terminal, if there is one.
    OnTerminal,
    /// This may run a thousand times, and in the midst of others' output.
    Never,
}

/// A helper that has said how things stand, and waits for what is asked of it.
#[derive(Debug)]
pub struct Greeted {
    /// The program that was started: the helper, or sudo.
    pub child: Child,
    /// Where it is asked.
    pub stdin: Option<ChildStdin>,
    /// Where it answers.
    pub channel: UnixStream,
    /// What the privileged process sees of the machine and of itself.
    pub facts: Facts,
    /// Whether sudo asked for a password.
    pub asked: bool,
}

/// A program that may become a helper.
struct Started {
    child: Child,
    channel: UnixStream,
    /// Its standard error, if that is not ours.
    said: Option<File>,
}

/// What ended before it greeted.
struct Ended {
    status: ExitStatus,
    said: String,
}

/// Starts a helper, and waits until it says how things stand.
///
/// Sudo is asked for the helper itself and for nothing beforehand: it may allow that alone, or ask each time.
///
/// # Errors
/// If it does not come about, in sudo's own words where it is sudo that refuses.
pub fn start(way: &Way, asking: Asking) -> Result<Greeted, Error> {
    match (Started::spawn(way).map_err(not_started)?.greeted()?, way) {
        (Ok(greeted), _) => Ok(greeted),
        (Err(_), Way::Sudo) if asking == Asking::OnTerminal && is_terminal() => {
            match Started::spawn_on_terminal().map_err(not_started)?.greeted()? {
                Ok(greeted) => Ok(Greeted { asked: true, ..greeted }),
                Err(_) => Err(sudo_refused("for the reason that it gives above", None)),
            }
        }
        (Err(Ended { said, .. }), Way::Sudo) => {
            let first = match asking {
                Asking::OnTerminal => "type it on a terminal, where sudo can ask",
                Asking::Never => "`sudo -v` beforehand may keep the password for a while",
            };
            Err(sudo_refused(&format!("and says: {}", last_line(&said)), Some(first)))
        }
        (Err(Ended { status, .. }), Way::Direct) => Err(ended_without_a_word(status)),
        (Err(Ended { status, .. }), Way::Installed(path)) => Err(Error::Probe {
            message: format!("{} ended without a word ({status})", path.display()),
            hint: Some(format!("`{SETUP}` installs it anew")),
        }),
    }
}

impl Started {
    /// Starts a program whose stdin and stdout are ours, and that asks nobody.
    fn spawn(way: &Way) -> io::Result<Self> {
        let mut command = match way {
            Way::Direct => {
                // What runs, and not what lies there now: it may have been replaced meanwhile.
                let mut own = Command::new("/proc/self/exe");
                own.arg0(std::env::current_exe()?).arg("__probe");
                own
            }
            Way::Installed(path) => Command::new(path),
            Way::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "--"]).arg(std::env::current_exe()?).arg("__probe");
                sudo
            }
        };
        let mut said = None;
        if *way == Way::Sudo {
            // Not a pipe: nobody would empty it as long as the helper runs.
            let file = File::from(memfd_create("sudo", MemfdFlags::CLOEXEC)?);
            command.stderr(file.try_clone()?);
            said = Some(file);
        } else {
            // As sudo does: what may be in the environment, such as credentials, is none of its business.
            let asker = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SUDO_"));
            command.env_clear().envs(asker);
        }
        // Not of the terminal's foreground: ^C is for the server.
        command.process_group(0);
        Self::with_channel(command, said)
    }

    /// In the foreground, where sudo can ask on the terminal and say what it has to say.
    fn spawn_on_terminal() -> io::Result<Self> {
        let mut sudo = Command::new("sudo");
        sudo.args(["-p", "[sudo] password for %p, to attach the probes: ", "--"]);
        sudo.arg(std::env::current_exe()?).arg("__probe");
        Self::with_channel(sudo, None)
    }

    fn with_channel(mut command: Command, said: Option<File>) -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        let child = command.stdin(Stdio::piped()).stdout(OwnedFd::from(theirs)).spawn()?;
        Ok(Self { child, channel, said })
    }

    /// Waits for the helper's greeting, or for the end of what should have become one.
    fn greeted(self) -> Result<Result<Greeted, Ended>, Error> {
        let Self { mut child, channel, said } = self;
        let failed = |source| Error::System { what: "reading from the probe helper", source };
        let stdin = child.stdin.take();
        let greeting = match Greeting::receive(&channel) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            received => received.map_err(failed)?,
        };
        let said = said.map(|said| text_of(&said)).unwrap_or_default();
        match greeting {
            Some(Greeting { on_socket: false, .. }) => Err(Check::missing(
                PRIVILEGE,
                "sudo stands between the probe helper and us to log what it writes (log_output)",
                format!("a line in sudoers keeps sudo out: Defaults!{} !log_output", tool().display()),
            )
            .to_error()),
            Some(greeting) if greeting.is_of_this_build() => {
                if !said.is_empty() {
                    // Sudo is content, and has something to say nevertheless.
                    let _ = io::Write::write_all(&mut io::stderr(), said.as_bytes());
                }
                Ok(Ok(Greeted { child, stdin, channel, facts: greeting.facts, asked: false }))
            }
            Some(_) => Err(Error::Probe {
                message: "the probe helper is of another version".into(),
                hint: Some(format!("if it is the installed one, `{SETUP}` renews it; else type the command again")),
            }),
            None => {
                drop((stdin, channel));
                let status = child.wait().map_err(failed)?;
                Ok(Err(Ended { status, said }))
            }
        }
    }
}

fn not_started(source: io::Error) -> Error {
    Error::System { what: "starting the probe helper", source }
}

fn tool() -> PathBuf {
    std::env::current_exe().unwrap_or_default()
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn text_of(file: &File) -> String {
    let mut bytes = [0; SAID_MAX];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// The sentence that sudo ends with, without its name before it.
fn last_line(said: &str) -> &str {
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    line.strip_prefix("sudo: ").unwrap_or(line)
}

fn sudo_refused(how: &str, first: Option<&str>) -> Error {
    let user = User::from_uid(Uid::current()).ok().flatten().map_or_else(|| "USER".to_owned(), |user| user.name);
    let rule = format!("have a line in sudoers: {user} ALL=(root) NOPASSWD: {} __probe", tool().display());
    let setup = format!("`{SETUP}` once, with which sudo is not needed");
    let cure = first.map(str::to_owned).into_iter().chain([setup, rule]).collect::<Vec<_>>().join("; or ");
    Check::missing(PRIVILEGE, format!("sudo does not start the probe helper, {how}"), cure).to_error()
}

/// The helper's end, where an answer was due.
pub fn ended_without_a_word(status: ExitStatus) -> Error {
    failure(&format!("the probe helper ended without a word ({status})"))
}

/// What the message of an error holds for which the kernel has no descriptor left (EMFILE).
const TOO_MANY_FILES: &str = "(os error 24)";

/// No line cures it.
const FAULT_OF_OURS: &str =
    "this is a fault of cargo-beyla, not of the machine: please report it, with all that `cargo beyla doctor` says";

/// What the helper failed at.
pub fn failure(message: &str) -> Error {
    let hint = if message.contains(TOO_MANY_FILES) {
        "the limit on open files is too low, and the hard limit too: have it raised to 1024 (`ulimit -Hn` shows it)"
    } else if message.contains(VERIFIER_REFUSES) {
        FAULT_OF_OURS
    } else {
        "`cargo beyla doctor` says what this machine lacks"
    };
    Error::Probe { message: message.to_owned(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_is_quoted_by_its_last_sentence() {
        let said = "sudo: unable to resolve host x\nsudo: a password is required\n\n";
        assert_eq!(last_line(said), "a password is required");
        assert_eq!(last_line("Sorry, user a is not allowed"), "Sorry, user a is not allowed");
        assert_eq!(last_line(""), "nothing");
    }
}
