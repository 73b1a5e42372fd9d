//! Writing a recording.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes;

use super::{End, Exit, MAGIC, RunInfo};
use crate::error::Error;
use cargo_beyla_core::event::Event;

/// What is written goes to the kernel in pieces of this size, or when the run ends.
const BUFFER: usize = 256 * 1024;

/// For the user alone: requests carry credentials.
const MODE: u32 = 0o600;

/// A recording being written.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
    /// The record that is being written.
    record: Vec<u8>,
}

impl Recorder {
    /// Creates the file, or empties it, and makes it readable for its owner alone.
    pub fn create(path: &Path, run: &RunInfo) -> Result<Self, Error> {
        Self::start(path, run).map_err(|source| failed(path, source))
    }

    fn start(path: &Path, run: &RunInfo) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        // A file that was there before has its old mode. What is no file (a pipe, /dev/null) keeps
        // its own.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(MODE))?;
        }
        let mut file = BufWriter::with_capacity(BUFFER, file);
        file.write_all(MAGIC)?;
        serde_json::to_writer(&mut file, run)?;
        file.write_all(b"\n")?;
        Ok(Self { path: path.to_owned(), file, record: Vec::new() })
    }

    /// Adds an event.
    pub fn record(&mut self, event: &Event<'_>) -> Result<(), Error> {
        self.record.clear();
        event.encode(&mut self.record);
        self.file.write_all(&self.record).map_err(|source| failed(&self.path, source))
    }

    /// Ends the recording of a run that ended at `end_monotonic_ns` (`CLOCK_MONOTONIC`), the server
    /// like `exit` where that is known.
    pub fn finish(mut self, end_monotonic_ns: u64, exit: Option<Exit>) -> Result<(), Error> {
        let end = End::new(end_monotonic_ns, exit);
        let written = self.file.write_all(end.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { verb: "write", path: path.to_owned(), source }
}
