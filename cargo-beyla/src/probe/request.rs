//! What the parent asks of the helper, in a line on its stdin. It comes from a process without privilege, so nothing
//! of it is trusted.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::config::capture::Capture;
use crate::config::explain::Explain;
use crate::config::percent::Percent;

/// The most bytes of a line.
const LENGTH_MAX: u64 = 4 * 1024 * 1024;

/// What the helper shall do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Trace.
    Trace(ProbeArguments),
    /// Load and attach every program, and let go of them again.
    Try,
}

/// What is traced, and what is to be seen of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeArguments {
    /// The process to trace, with all that it starts.
    pub pid: u32,
    /// Trace only what it starts.
    pub children: bool,
    /// It has executed its program already.
    pub attach: bool,
    /// What it has started already, if it has executed its program.
    pub members: Vec<u32>,
    /// How bytes are captured.
    pub capture: Capture,
    /// How much is recorded of the async runtime.
    pub explain: Explain,
    /// Polls shorter than this many nanoseconds are not sampled.
    pub long_poll_ns: u64,
    /// With [`Explain::Auto`]: how much of the process's CPU time probes on its functions may cost.
    pub overhead_budget: Percent,
    /// Follow the records of TLS.
    pub tls: bool,
}

/// Sends a line.
///
/// # Errors
/// If the helper has ended.
pub fn send(value: &impl Serialize, mut to: impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Waits for a line; `None` if it will not come.
///
/// # Errors
/// If what comes is something else.
pub fn receive<T: for<'a> Deserialize<'a>>(from: impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(LENGTH_MAX).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use super::*;
    use crate::probe::executable::{Executables, TaskIdPlace, TaskVariable};
    use crate::probe::library_probe::{LibraryPoint, LibraryProbe, LibraryProbes};

    #[test]
    fn what_is_sent_is_received() {
        let request = Request::Trace(ProbeArguments {
            pid: 7,
            children: true,
            attach: false,
            members: vec![8],
            capture: Capture::Auto,
            explain: Explain::Auto,
            long_poll_ns: 10,
            overhead_budget: Percent::new(3),
            tls: true,
        });
        let mut line = Vec::new();
        send(&request, &mut line).expect("memory");
        assert_eq!(receive(&line[..]).expect("it is right"), Some(request));
        assert_eq!(receive::<Request>(&line[..line.len() - 1]).expect("it is cut short"), None);

        let probe = "1:task_running@4711".parse().expect("a probe");
        let odd = std::ffi::OsString::from_vec(b"/not \xff text\n".to_vec());
        let paths: Vec<PathBuf> = vec!["/a b".into(), odd.into()];
        let task_variables = vec![TaskVariable { executable: 1, place: TaskIdPlace::At(-40) }];
        let library_probes = vec![LibraryProbes {
            path: paths[1].clone(),
            process: NonZeroU32::new(7),
            probes: vec![LibraryProbe { point: LibraryPoint::OpenSsl, offset: 4711 }],
        }];
        let executables = Executables { paths, task_probes: vec![probe], task_variables, library_probes };
        line.clear();
        send(&executables, &mut line).expect("memory");
        assert_eq!(receive(&line[..]).expect("it is right"), Some(executables));

        assert!(receive::<Request>(&b"{}\n"[..]).is_err() && receive::<Request>(&b"?\n"[..]).is_err());
    }
}
