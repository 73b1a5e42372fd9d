//! Opens a file in the user's browser.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use super::user::InvokingUser;

/// The programs that know the user's browser: of desktops, and of Linux under Windows.
const OPENERS: [&str; 2] = ["xdg-open", "wslview"];

/// A program that runs on for so long has opened the file: it may be the browser itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often its end is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// Opens a file, as the user who typed sudo if there is one, and never as root. `browser` is the value of `BROWSER`, which
/// goes first. Fails with the reason, which completes "the page was not opened: ".
pub fn open(file: &Path, browser: Option<&str>, user: Option<&InvokingUser>) -> Result<(), String> {
    if nix::unistd::geteuid().is_root() && user.is_none() {
        return Err("a browser should not run as root".into());
    }
    let file = file.canonicalize().map_err(|error| error.to_string())?;
    let own = browser.into_iter().flat_map(|value| value.split(':')).filter(|name| !name.is_empty());
    let mut failure = None;
    for program in own.chain(OPENERS) {
        match start(program, &file, user).and_then(follow) {
            Ok(None) => return Ok(()),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => failure = Some(format!("{program} ended with {status}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failure = Some(format!("{program} could not be started: {error}")),
        }
    }
    Err(failure.unwrap_or_else(|| "there is no xdg-open, and BROWSER names no browser".into()))
}

fn start(program: &str, file: &Path, user: Option<&InvokingUser>) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: system calls. The browser outlives this process and its terminal, and has none of our signals blocked.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
        })
    };
    if let Some(user) = user {
        user.apply(&mut command);
    }
    command.spawn()
}

/// How it has ended, if it does so soon.
fn follow(mut child: Child) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        match child.try_wait()? {
            None if began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            ended => return Ok(ended),
        }
    }
}
