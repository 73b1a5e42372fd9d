//! The ways to privilege: which of them is open to this process, and what is in the way of the others.

use std::fmt;
use std::path::PathBuf;

use super::installed::{Installed, SETUP};
use super::requirements::check::{Check, PRIVILEGE};
use super::requirements::facts::{Btf, Capabilities, Facts};
use super::requirements::{of_machine, refused};

/// How the probe helper gets its privilege.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// This process has it.
    Direct,
    /// The program of the installed helper has file capabilities.
    Installed(PathBuf),
    /// `sudo` gives it, if it is content.
    Sudo,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => formatter.write_str("of this process"),
            Self::Installed(path) => write!(formatter, "of the installed helper {}", path.display()),
            Self::Sudo => formatter.write_str("through sudo"),
        }
    }
}

/// What the facts of a process that is privileged, or will be, mean; `way` is how it comes to its privilege.
pub fn checks(facts: &Facts, way: &Result<Way, Check>) -> Vec<Check> {
    let privilege = match way {
        Ok(way) => privilege(facts, way),
        Err(lack) => lack.clone(),
    };
    std::iter::once(privilege).chain(of_machine(facts)).collect()
}

fn privilege(facts: &Facts, way: &Way) -> Check {
    let capabilities = facts.capabilities;
    let found = if capabilities.bpf && capabilities.perfmon {
        "CAP_BPF and CAP_PERFMON"
    } else if capabilities.sys_admin {
        "CAP_SYS_ADMIN"
    } else {
        let found = match way {
            Way::Direct => "this process is without".to_owned(),
            Way::Installed(path) => format!("{} is without", path.display()),
            Way::Sudo => "what sudo starts is without".to_owned(),
        };
        return Check::missing(PRIVILEGE, found, refused(facts));
    };
    Check::ok(PRIVILEGE, format!("{found}, {way}"))
}

/// What this process finds before it asks anybody.
#[derive(Clone, Debug)]
pub struct Prospects {
    /// Those of this process, which is not the one that will be privileged.
    pub own: Facts,
    /// Whether a helper is installed.
    pub installed: Installed,
    /// Whether there is a `sudo`.
    pub sudo: bool,
    /// Whether the loader keeps variables from this process, as its file has capabilities.
    pub secure: bool,
}

impl Prospects {
    /// Looks around.
    pub fn gather() -> Self {
        // SAFETY: it reads a number that the kernel has left for this process.
        let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
        let sudo = which::which("sudo").is_ok();
        Self { own: Facts::gather(), installed: Installed::look(), sudo, secure }
    }

    /// The way to take; or why there is none.
    ///
    /// # Errors
    /// If there is none: what is missing.
    pub fn way(&self) -> Result<Way, Check> {
        let missing = |found: &str, cure: String| Err(Check::missing(PRIVILEGE, found, cure));
        let Self { own, installed, sudo, secure: _ } = self;
        if own.user_namespace {
            // Neither sudo nor a file's capabilities lead out of it.
            return missing(
                "this is a user namespace, whose capabilities do not count for BPF",
                "run outside of it, or in a container that root has started".into(),
            );
        }
        if own.capabilities.suffice() {
            return Ok(Way::Direct);
        }
        if own.no_new_privileges {
            return missing(
                "the no-new-privileges flag is set, with which no program gets them, not even sudo",
                "start it where the flag is not set: setpriv, systemd's NoNewPrivileges=, a container's \
                 no-new-privileges and some sandboxes of editors set it"
                    .into(),
            );
        }
        if !own.bounding.suffice() {
            return missing("no program gets them here, not even root's: the bounding set is without", refused(own));
        }
        match installed {
            Installed::Ready(path) if own.bounding.bpf && own.bounding.perfmon => Ok(Way::Installed(path.clone())),
            _ if *sudo => Ok(Way::Sudo),
            _ => missing(
                "there is neither sudo nor an installed probe helper",
                format!("install sudo and allow it for this user, or have root type `{SETUP} --group GROUP` once"),
            ),
        }
    }

    /// The facts of the process that will be privileged, as far as they can be foreseen.
    pub fn expected(&self, way: &Result<Way, Check>) -> Facts {
        let own = &self.own;
        match way {
            Ok(Way::Direct) | Err(_) => own.clone(),
            Ok(Way::Installed(_)) => {
                let capabilities = Capabilities { bpf: true, perfmon: true, sys_admin: false };
                Facts { capabilities, ..own.clone() }
            }
            Ok(Way::Sudo) => Facts {
                capabilities: own.bounding,
                // Root may read it.
                btf: if own.btf == Btf::Unreadable { Btf::Readable } else { own.btf },
                // Root may raise it.
                memlock: None,
                ..own.clone()
            },
        }
    }

    /// What the user should know, although it is in nobody's way.
    pub fn warnings(&self) -> Vec<Check> {
        let own = self.secure.then(|| {
            let executable = std::env::current_exe().unwrap_or_default();
            Check::warn(
                "capabilities",
                format!(
                    "{} itself has file capabilities, so the loader hides LD_LIBRARY_PATH, LD_PRELOAD and TMPDIR from \
                     it and from the server",
                    executable.display()
                ),
                format!(
                    "sudo setcap -r {}, and then {SETUP}, which gives them to the helper alone",
                    executable.display()
                ),
            )
        });
        let helper = match &self.installed {
            Installed::Unusable { found, cure } if !self.own.capabilities.suffice() => {
                Some(Check::warn("helper", found.clone(), cure.clone()))
            }
            _ => None,
        };
        own.into_iter().chain(helper).collect()
    }
}

#[cfg(test)]
mod tests;
