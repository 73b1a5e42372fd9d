//! Where the functions are that tell of the async runtime's tasks, as the parent found them in the server's
//! executable.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a function tells of a task when it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbePoint {
    /// A thread begins to poll it.
    Running,
    /// A thread has polled it, and it is not complete.
    Idle,
    /// A thread is done with it.
    Terminal,
    /// It is woken.
    Woken,
    /// It is new.
    Spawned,
    /// It is new, in a runtime of one thread or of several.
    Bound,
    /// It is new, in a runtime or in a `LocalSet`.
    Owned,
    /// It is new, and one of the blocking pool.
    SpawnedBlocking,
    /// It gives way: its runtime will wake it when nothing else is left to do.
    Deferred,
    /// No task: something was put into a channel.
    Signalled,
}

impl ProbePoint {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Running,
        Self::Idle,
        Self::Terminal,
        Self::Woken,
        Self::Spawned,
        Self::Bound,
        Self::Owned,
        Self::SpawnedBlocking,
        Self::Deferred,
        Self::Signalled,
    ];

    /// Those that are entered once a task.
    pub const SPAWNING: [Self; 4] = [Self::Spawned, Self::Bound, Self::Owned, Self::SpawnedBlocking];

    /// The kernel program for it.
    pub fn program(self) -> &'static str {
        match self {
            Self::Running => "task_running",
            Self::Idle => "task_idle",
            Self::Terminal => "task_terminal",
            Self::Woken => "task_woken",
            Self::Spawned => "task_spawned",
            Self::Bound => "task_bound",
            Self::Owned => "task_owned",
            Self::SpawnedBlocking => "task_spawned_blocking",
            Self::Deferred => "task_deferred",
            Self::Signalled => "channel_signalled",
        }
    }
}

/// A function to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskProbe {
    /// The executable that it is in, by its place in the command line of the probe helper.
    pub executable: usize,
    /// What it tells.
    pub point: ProbePoint,
    /// Where it begins in the executable's file, in bytes.
    pub offset: u64,
}

impl TaskProbe {
    /// The same in another executable.
    #[must_use]
    pub fn of_executable(self, executable: usize) -> Self {
        Self { executable, ..self }
    }
}

/// As in `0:task_running@4711`.
impl fmt::Display for TaskProbe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}@{}", self.executable, self.point.program(), self.offset)
    }
}

impl FromStr for TaskProbe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is no place to probe");
        let (executable, place) = text.split_once(':').ok_or_else(wrong)?;
        let (name, offset) = place.split_once('@').ok_or_else(wrong)?;
        let point = ProbePoint::ALL.into_iter().find(|point| point.program() == name).ok_or_else(wrong)?;
        Ok(Self {
            executable: executable.parse().map_err(|_| wrong())?,
            point,
            offset: offset.parse().map_err(|_| wrong())?,
        })
    }
}

impl Serialize for TaskProbe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskProbe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_command_line() {
        for point in ProbePoint::ALL {
            let probe = TaskProbe { executable: 1, point, offset: 4711 };
            assert_eq!(probe.to_string().parse(), Ok(probe));
        }
        for wrong in
            ["", "task_running", "0:task_running@", "0:task_running@-1", "0:x@1", "task_running@1", "x:task_running@1"]
        {
            assert!(wrong.parse::<TaskProbe>().is_err(), "{wrong}");
        }
    }
}
