//! What a report says of the run itself.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use cargo_beyla_core::analysis::suite::Within;
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::model::system_call::Architecture;

/// The run that a report is about. Also the first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of cargo-beyla.
    pub version: String,
    /// What was traced.
    #[serde(flatten)]
    pub traced: Traced,
    /// Wall-clock time at the start of the run, in nanoseconds since the Unix epoch.
    pub started_unix_ns: u64,
    /// The same moment by `CLOCK_MONOTONIC`, which the records use.
    pub started_monotonic_ns: u64,
    /// How bytes were captured: `socket` or `syscalls`.
    pub capture: String,
    /// The architecture of the machine that traced. Recordings of older versions leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// What the ids of the requests' spans come from, if the run exports them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_seed: Option<Seed>,
}

/// What was traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Traced {
    /// One server.
    Server {
        /// Its process id, as its user sees it.
        pid: u32,
        /// Its executable.
        #[serde(serialize_with = "lossy")]
        executable: PathBuf,
        /// Processes that it started were followed if their programs are in these folders.
        #[serde(default, serialize_with = "lossy_list", skip_serializing_if = "Vec::is_empty")]
        within: Vec<PathBuf>,
    },
    /// The tests of a workspace.
    Tests {
        /// The folder of the workspace.
        #[serde(serialize_with = "lossy")]
        workspace: PathBuf,
        /// The folders whose programs were followed.
        #[serde(default, serialize_with = "lossy_list")]
        within: Vec<PathBuf>,
    },
}

impl Traced {
    /// Which processes were followed; `None` in recordings that do not say it, which are of one process alone.
    pub fn followed(&self) -> Option<Within> {
        match self {
            Self::Server { within, .. } if within.is_empty() => None,
            Self::Server { pid, within, .. } => Some(Within { folders: within.clone(), itself: Some(*pid) }),
            Self::Tests { within, .. } => Some(Within { folders: within.clone(), itself: None }),
        }
    }
}

/// A random number, drawn once a run. JSON has it as a hexadecimal text: it does not fit a number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u128);

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

impl RunInfo {
    /// The process id of the server, if there was one alone.
    pub fn pid(&self) -> Option<u32> {
        match self.traced {
            Traced::Server { pid, .. } => Some(pid),
            Traced::Tests { .. } => None,
        }
    }

    /// What was traced, in a word: the name of the binary, or of the workspace's folder.
    pub fn name(&self) -> String {
        let (Traced::Server { executable: path, .. } | Traced::Tests { workspace: path, .. }) = &self.traced;
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// How long the run lasted until `ended_monotonic_ns`, without the time for which everything was stopped; in
    /// nanoseconds.
    pub fn duration_ns(&self, summary: &Summary, ended_monotonic_ns: u64) -> u64 {
        ended_monotonic_ns.saturating_sub(self.started_monotonic_ns).saturating_sub(summary.paused_ns)
    }

    /// A moment of `CLOCK_MONOTONIC` as nanoseconds since the Unix epoch.
    pub fn unix_ns(&self, monotonic_ns: u64) -> u64 {
        let started = i128::from(self.started_unix_ns) - i128::from(self.started_monotonic_ns);
        (started + i128::from(monotonic_ns)).clamp(0, i128::from(u64::MAX)) as u64
    }
}

/// A path of bytes that are not UTF-8 is still worth a report.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn lossy_list<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_processes_were_followed() {
        let folders = || vec![PathBuf::from("/work/target")];
        let server = |within| Traced::Server { pid: 1, executable: "/work/target/debug/server".into(), within };
        assert_eq!(server(Vec::new()).followed(), None, "a recording that does not say it");
        assert_eq!(server(folders()).followed(), Some(Within { folders: folders(), itself: Some(1) }));
        let tests = Traced::Tests { workspace: "/work".into(), within: folders() };
        assert_eq!(tests.followed(), Some(Within { folders: folders(), itself: None }));
    }
}
