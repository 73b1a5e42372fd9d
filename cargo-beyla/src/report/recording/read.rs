//! Reading a recording, which anyone may have written.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use cargo_beyla_events::Header;
use zerocopy::FromBytes;

use super::{END, End, Exit, MAGIC, OLD_MAGIC, RunInfo};
use crate::error::Error;
use cargo_beyla_core::event::{Event, RECORD_MAX};

/// The longest second line that is read. A path takes up to 4 KiB, and six times that when JSON escapes it.
const RUN_INFO_MAX: u64 = 64 * 1024;

const HEADER: usize = size_of::<Header>();

/// A recording being read. It never holds more than one record in memory.
#[derive(Debug)]
pub struct Recording<R = BufReader<File>> {
    path: PathBuf,
    source: R,
    run: RunInfo,
    record: Vec<u8>,
    latest_ns: u64,
    ending: Option<Ending>,
    /// Records of `--explain` in it are laid out in another way.
    is_old: bool,
}

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the run.
    Complete {
        /// The end of the run, by `CLOCK_MONOTONIC`.
        end_monotonic_ns: u64,
        /// How the server ended, where that is known.
        exit: Option<Exit>,
    },
    /// Before it: the tool was killed, the disk was full, or the file is damaged.
    CutShort {
        /// A part of a sentence that begins with "the recording".
        reason: String,
    },
}

impl Recording {
    /// Opens a file and reads what it says of its run.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| failed(path, source))?;
        Self::new(path, BufReader::with_capacity(RECORD_MAX, file))
    }
}

impl<R: BufRead> Recording<R> {
    /// Reads a recording from anything; `path` is what errors call it.
    pub fn new(path: &Path, mut source: R) -> Result<Self, Error> {
        let not_one = |reason: String| Error::NotARecording { path: path.to_owned(), reason };
        let mut magic = Vec::new();
        read_up_to(&mut source, MAGIC.len(), &mut magic).map_err(|source| failed(path, source))?;
        let is_old = magic == OLD_MAGIC;
        if magic != MAGIC && !is_old {
            let of_another_version = magic.starts_with(b"cargo-beyla recording ");
            return Err(not_one(if of_another_version {
                "another version of cargo beyla wrote it".into()
            } else {
                "it does not begin as one".into()
            }));
        }
        let mut line = Vec::new();
        (&mut source).take(RUN_INFO_MAX).read_until(b'\n', &mut line).map_err(|source| failed(path, source))?;
        let run: RunInfo = serde_json::from_slice(&line)
            .map_err(|error| not_one(format!("its second line does not tell of a run: {error}")))?;
        let latest_ns = run.started_monotonic_ns;
        Ok(Self { path: path.to_owned(), source, run, record: Vec::new(), latest_ns, ending: None, is_old })
    }

    /// The run that was recorded.
    pub fn run(&self) -> &RunInfo {
        &self.run
    }

    /// The next event; `None` at the end. A record that cannot be decoded is [`Event::Unknown`]: those beside it are
    /// whole. A recording with `--explain` that does not say its architecture is refused: the numbers of its system
    /// calls could mean anything.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if self.ending.is_some() {
            return Ok(None);
        }
        self.ending = self.advance().map_err(|source| failed(&self.path, source))?;
        if self.ending.is_some() {
            return Ok(None);
        }
        let event = match Event::decode(&self.record) {
            Ok(Some((event, _))) => event,
            Ok(None) | Err(_) => Event::Unknown(&self.record),
        };
        if matches!(event, Event::Explained(_) | Event::AutoExplained(_)) {
            if self.run.architecture.is_none() {
                return Err(Error::NoArchitecture { path: self.path.clone() });
            }
            if self.is_old {
                let reason = "another version of cargo beyla wrote it, with --explain".into();
                return Err(Error::NotARecording { path: self.path.clone(), reason });
            }
        }
        Ok(Some(event))
    }

    /// How the recording ends; `None` before [`Self::next_event`] has come there.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// How long the run lasted, in nanoseconds, as far as it has been read.
    pub fn duration_ns(&self) -> u64 {
        let end_ns = match self.ending {
            Some(Ending::Complete { end_monotonic_ns, .. }) => end_monotonic_ns,
            Some(Ending::CutShort { .. }) | None => self.latest_ns,
        };
        end_ns.saturating_sub(self.run.started_monotonic_ns)
    }

    /// Reads the next record into `self.record`, or returns how the recording ends.
    fn advance(&mut self) -> io::Result<Option<Ending>> {
        let cut_short = |reason: &str| Ok(Some(Ending::CutShort { reason: reason.into() }));
        self.record.clear();
        read_up_to(&mut self.source, HEADER, &mut self.record)?;
        if self.record.is_empty() {
            return cut_short("ends before its run did");
        }
        let Ok((header, _)) = Header::read_from_prefix(&self.record) else {
            return cut_short("ends inside a record");
        };
        let size = header.size as usize;
        if !(HEADER..=RECORD_MAX).contains(&size) {
            return cut_short("is damaged: a record has a size that none can have");
        }
        read_up_to(&mut self.source, size - HEADER, &mut self.record)?;
        if self.record.len() < size {
            return cut_short("ends inside a record");
        }
        if header.kind == END {
            return match End::read_from_bytes(&self.record) {
                Ok(end) => Ok(Some(Ending::Complete { end_monotonic_ns: end.header.time_ns, exit: end.exit() })),
                Err(_) => cut_short("is damaged: its last record has a size that it cannot have"),
            };
        }
        self.latest_ns = self.latest_ns.max(header.time_ns);
        Ok(None)
    }
}

/// Appends `length` bytes, or those that are left.
fn read_up_to(source: &mut impl Read, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    source.take(length as u64).read_to_end(bytes)?;
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { verb: "read", path: path.to_owned(), source }
}
