//! Under `sudo cargo beyla`, cargo and the server run as the user who typed it.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, initgroups, setgid, setuid};

/// The user on whose behalf we run: who typed sudo, else our own.
pub fn invoking_uid() -> u32 {
    let own = nix::unistd::getuid();
    if own.is_root()
        && let Some(uid) = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok())
    {
        return uid;
    }
    own.as_raw()
}

/// The capabilities that this process may use, as a mask; none where that cannot be read.
pub fn permitted_capabilities() -> u64 {
    procfs::process::Process::myself().and_then(|own| own.status()).map_or(0, |own| own.capprm)
}

/// What makes commands run as the user who typed sudo, if there is one.
pub fn applying(user: Option<&InvokingUser>) -> impl Fn(&mut Command) + Copy {
    move |command| {
        if let Some(user) = user {
            user.apply(command);
        }
    }
}

/// The same for commands whose environment is made already.
pub fn impersonating(user: Option<&InvokingUser>) -> impl Fn(&mut Command) + Copy {
    move |command| {
        if let Some(user) = user {
            user.impersonate(command);
        }
    }
}

/// The user who typed `sudo cargo beyla`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvokingUser {
    uid: Uid,
    gid: Gid,
    name: CString,
    home: PathBuf,
}

impl InvokingUser {
    /// `None` unless we are root by way of sudo.
    pub fn detect() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
        let uid = Uid::from_raw(number("SUDO_UID")?);
        if uid.is_root() {
            return None;
        }
        let user = User::from_uid(uid).ok()??;
        let gid = number("SUDO_GID").map_or(user.gid, Gid::from_raw);
        Some(Self { uid, gid, name: CString::new(user.name).ok()?, home: user.dir })
    }

    /// Makes a command run as this user, with this user's environment.
    pub fn apply(&self, command: &mut Command) {
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        self.impersonate(command);
    }

    /// Makes a command run as this user, with the environment that it has.
    pub fn impersonate(&self, command: &mut Command) {
        let user = self.clone();
        // SAFETY: `become_user` makes system calls, and `initgroups` of the C library, which reads the
        // group database; we have no other thread that could hold a lock of its across the fork.
        unsafe { command.pre_exec(move || user.become_user()) };
    }

    /// What differs in this user's environment.
    pub fn environment(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        let name: std::ffi::OsString = self.name.to_string_lossy().into_owned().into();
        let mut path: std::ffi::OsString = self.home.join(".cargo/bin").into();
        if let Some(inherited) = std::env::var_os("PATH") {
            path.push(":");
            path.push(inherited);
        }
        vec![("HOME", self.home.clone().into_os_string()), ("USER", name.clone()), ("LOGNAME", name), ("PATH", path)]
    }

    /// Turns the calling process into this user's, for good.
    pub fn become_user(&self) -> io::Result<()> {
        initgroups(&self.name, self.gid)?;
        setgid(self.gid)?;
        setuid(self.uid)?;
        Ok(())
    }

    /// Owner and group for a file that this user shall own.
    pub fn owner(&self) -> (u32, u32) {
        (self.uid.as_raw(), self.gid.as_raw())
    }
}
