//! System calls. The kernel numbers them differently on each architecture.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use syscalls::{aarch64, x86_64};

/// The architecture of the machine on which a run was traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Architecture {
    /// Intel's and AMD's.
    X86_64,
    /// Arm's.
    Aarch64,
}

impl Architecture {
    /// The architecture of this machine.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// Its name in `uname -m` and in Rust's targets.
    pub fn label(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|architecture| architecture.label() == text);
        known.ok_or_else(|| format!("the architecture '{text}' is not known"))
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemCall {
    /// The architecture of the machine that made the call.
    pub architecture: Architecture,
    /// Its number on that architecture.
    pub number: i32,
}

impl SystemCall {
    /// A system call of this machine.
    #[cfg(any(test, feature = "fixtures"))]
    pub const fn here(number: i32) -> Self {
        Self { architecture: Architecture::HERE, number }
    }

    /// Its name; `None` if no call has this number.
    pub fn name(self) -> Option<&'static str> {
        let number = usize::try_from(self.number).ok()?;
        match self.architecture {
            Architecture::X86_64 => x86_64::Sysno::new(number).map(|call| call.name()),
            Architecture::Aarch64 => aarch64::Sysno::new(number).map(|call| call.name()),
        }
    }
}

/// Its name, or its number if it has no name.
impl fmt::Display for SystemCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => self.number.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_another_call_on_another_architecture() {
        let names = |number| Architecture::ALL.map(|architecture| SystemCall { architecture, number }.to_string());
        // From the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
        assert_eq!(names(115), ["getgroups", "clock_nanosleep"]);
        assert_eq!(names(230), ["clock_nanosleep", "mlockall"]);
        assert_eq!(names(22), ["pipe", "epoll_pwait"]);
        assert_eq!(names(202), ["futex", "accept"]);
        for nowhere in [-1, 100_000, i32::MIN, i32::MAX] {
            assert_eq!(names(nowhere), [nowhere.to_string(), nowhere.to_string()]);
        }
    }

    #[test]
    fn architectures_go_by_their_names() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.label().parse(), Ok(architecture));
        }
        assert_eq!("riscv64".parse::<Architecture>(), Err("the architecture 'riscv64' is not known".to_owned()));
        assert_eq!(Architecture::HERE.label(), std::env::consts::ARCH);
    }
}
