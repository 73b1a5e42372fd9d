//! Writing a recording.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes;

use super::{End, Exit, MAGIC, RunInfo};
use crate::error::Error;

/// What is written goes to the kernel in pieces of this size, or when the run ends.
const BUFFER: usize = 256 * 1024;

/// A recording being written.
#[derive(Debug)]
pub struct Recorder<W: Write> {
    path: PathBuf,
    file: BufWriter<W>,
}

impl<W: Write> Recorder<W> {
    /// Begins to write to a file, which messages call `path`.
    pub fn new(path: &Path, file: W, run: &RunInfo) -> Result<Self, Error> {
        let mut recorder = Self { path: path.to_owned(), file: BufWriter::with_capacity(BUFFER, file) };
        recorder.begin(run).map_err(|source| failed(path, source))?;
        Ok(recorder)
    }

    fn begin(&mut self, run: &RunInfo) -> io::Result<()> {
        self.file.write_all(MAGIC)?;
        serde_json::to_writer(&mut self.file, run)?;
        self.file.write_all(b"\n")
    }

    /// Adds whole records, back to back.
    pub fn write(&mut self, records: &[u8]) -> Result<(), Error> {
        self.file.write_all(records).map_err(|source| failed(&self.path, source))
    }

    /// Ends the recording of a run that ended at `end_monotonic_ns` (`CLOCK_MONOTONIC`), the server
    /// like `exit` where that is known.
    pub fn finish(mut self, end_monotonic_ns: u64, exit: Option<Exit>) -> Result<(), Error> {
        self.write(End::new(end_monotonic_ns, exit).as_bytes())?;
        self.file.flush().map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { verb: "write", path: path.to_owned(), source }
}
