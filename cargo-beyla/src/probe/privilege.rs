//! What this process may do, and for whom.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability};

use crate::error::Error;

/// A way to privilege that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is open.
    Open(Privilege),
    /// `sudo` will ask for a password on the terminal.
    SudoAsks,
}

/// How the probe helper gets its privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// This process has it.
    Direct,
    /// `sudo` gives it without asking.
    Sudo,
}

impl Way {
    /// Has sudo ask for the password if it must: best done when the user is about to wait for something
    /// anyway.
    ///
    /// # Errors
    /// If sudo was not content.
    pub fn open(self) -> Result<Privilege, Error> {
        match self {
            Self::Open(privilege) => Ok(privilege),
            Self::SudoAsks => ask_for_password(),
        }
    }
}

/// Whether this process may load and attach programs itself.
pub fn is_privileged() -> bool {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    // Before Linux 5.8, and to read the kernel's memory under some settings, CAP_SYS_ADMIN it is.
    has(Capability::CAP_SYS_ADMIN) || (has(Capability::CAP_BPF) && has(Capability::CAP_PERFMON))
}

/// Finds a way to privilege.
pub fn find() -> Result<Way, Error> {
    if is_privileged() {
        return Ok(Way::Open(Privilege::Direct));
    }
    if which::which("sudo").is_err() {
        return Err(Error::Privilege { found: "there is no sudo".into() });
    }
    if sudo_without_password() {
        return Ok(Way::Open(Privilege::Sudo));
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return Ok(Way::SudoAsks);
    }
    Err(Error::Privilege { found: "sudo wants a password, for which there is no terminal".into() })
}

/// Whether sudo works without asking.
pub fn sudo_without_password() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn ask_for_password() -> Result<Privilege, Error> {
    let asked = Command::new("sudo")
        .args(["-p", "[sudo] password for %p, to attach the probes: ", "-v"])
        .status()
        .is_ok_and(|status| status.success());
    if asked && sudo_without_password() {
        return Ok(Privilege::Sudo);
    }
    Err(Error::Privilege { found: "sudo did not give it".into() })
}
