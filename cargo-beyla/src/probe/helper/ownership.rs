//! Which processes the user who asked may have traced.

use std::io;
use std::os::fd::OwnedFd;

use super::HelperError;
use crate::launch::user::{invoking_uid, permitted_capabilities};

/// A descriptor that can be read once the process has ended.
pub(super) fn open_process(pid: u32) -> Result<OwnedFd, HelperError> {
    let no_process = |source: io::Error| HelperError::NoProcess { pid, source };
    let process = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| no_process(io::ErrorKind::NotFound.into()))?;
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).map_err(|errno| no_process(errno.into()))
}

/// Refuses a process that does not belong to the user who asked, or may do more than this user.
pub(super) fn check_owner(pid: u32) -> Result<(), HelperError> {
    let asker = invoking_uid();
    let status = procfs::process::Process::new(pid as i32)
        .and_then(|process| process.status())
        .map_err(|source| HelperError::NoProcess { pid, source: io::Error::other(source) })?;
    if let Some(owner) = [status.ruid, status.euid, status.suid].into_iter().find(|uid| asker != 0 && *uid != asker) {
        return Err(HelperError::NotYours { pid, owner });
    }
    // As ptrace has it (`__ptrace_may_access`): ssh-agent, say, is set-group-ID so that nobody looks into it.
    if asker != 0 && [status.egid, status.sgid].into_iter().any(|gid| gid != status.rgid) {
        return Err(HelperError::OtherRights { pid, what: "of another group" });
    }
    if status.capprm & !permitted_capabilities() != 0 {
        return Err(HelperError::OtherRights { pid, what: "that its file's capabilities give it" });
    }
    Ok(())
}
