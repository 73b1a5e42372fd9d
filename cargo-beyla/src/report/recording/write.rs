//! Writing a recording.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes;

use super::{End, Exit, MAGIC, RunInfo};
use crate::error::Error;
use cargo_beyla_core::event::Event;

/// Records are collected up to this size before they go to the kernel.
const BUFFER: usize = 256 * 1024;

/// A recording being written.
#[derive(Debug)]
pub struct Recorder<W: Write> {
    path: PathBuf,
    file: BufWriter<W>,
    /// The record that is being written.
    record: Vec<u8>,
}

impl<W: Write> Recorder<W> {
    /// Begins to write to a file, which messages call `path`.
    pub fn new(path: &Path, file: W, run: &RunInfo) -> Result<Self, Error> {
        let mut recorder =
            Self { path: path.to_owned(), file: BufWriter::with_capacity(BUFFER, file), record: Vec::new() };
        recorder.begin(run).map_err(|source| failed(path, source))?;
        Ok(recorder)
    }

    fn begin(&mut self, run: &RunInfo) -> io::Result<()> {
        self.file.write_all(MAGIC)?;
        serde_json::to_writer(&mut self.file, run)?;
        self.file.write_all(b"\n")
    }

    /// Adds an event.
    pub fn record(&mut self, event: &Event<'_>) -> Result<(), Error> {
        self.record.clear();
        event.encode(&mut self.record);
        self.file.write_all(&self.record).map_err(|source| failed(&self.path, source))
    }

    /// Ends the recording of a run that ended at `end_monotonic_ns` (`CLOCK_MONOTONIC`). `exit` is how the server
    /// ended, where that is known.
    pub fn finish(mut self, end_monotonic_ns: u64, exit: Option<Exit>) -> Result<(), Error> {
        let end = End::new(end_monotonic_ns, exit);
        let written = self.file.write_all(end.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { verb: "write", path: path.to_owned(), source }
}
