//! Keys that the process sets up for TLS: secrets, which no output may show.

use std::fmt;

use cargo_beyla_events as records;
use records::{Header, KEY_MAX};
use zeroize::Zeroize;

use super::layout::{DecodeError, Layout, append, structures};

structures!(records::Key);

/// A process sets up a key of AES, which may be for one direction of a TLS connection or for something else.
///
/// It is wiped when it is dropped, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// When the function that sets it up was called.
    pub time_ns: u64,
    /// The process, of several that are traced, by the number that records have for it; 0 is the one that starts the others.
    pub process: u32,
    /// The thread, as in [`records::TaskChange`].
    pub thread: u32,
    /// Whose function it was: one of [`records::library`].
    pub library: u8,
    /// Bytes of the key: 16 or 32; 0 if the function does not say, so that it may be either.
    pub length: u8,
    /// The key, and zeros behind it.
    pub bytes: [u8; KEY_MAX],
}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time_ns, process, thread, library, length, bytes: _ } = self;
        let mut shown = formatter.debug_struct("Key");
        shown.field("time_ns", time_ns).field("process", process).field("thread", thread);
        shown.field("library", library).field("length", length).finish_non_exhaustive()
    }
}

impl Layout<'_> for Key {
    /// A length that no key has is none.
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let records::Key { header, process, thread, library, length, bytes, .. } = Layout::read(record)?;
        let length = if matches!(length, 16 | 32) { length } else { 0 };
        Ok(Self { time_ns: header.time_ns, process, thread, library, length, bytes })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let Self { time_ns, process, thread, library, length, bytes } = *self;
        let header = Header { time_ns, ..Header::default() };
        append(records, kind, records::Key { header, process, thread, library, length, reserved: [0; 6], bytes }, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn key(length: u8) -> Key {
        let bytes = std::array::from_fn(|index| if index < 16 { 0xA0 + index as u8 } else { 0 });
        Key { time_ns: 9, process: 4, thread: 5, library: records::library::RING, length, bytes }
    }

    #[test]
    fn it_survives_a_recording() {
        for length in [0, 16, 32] {
            let record = Event::Key(key(length)).to_record();
            assert_eq!(Event::decode(&record), Ok(Some((Event::Key(key(length)), record.len()))));
        }
    }

    #[test]
    fn a_length_that_no_key_has_is_none() {
        for length in [1, 24, 33, 255] {
            let record = Event::Key(key(length)).to_record();
            assert_eq!(Event::decode(&record), Ok(Some((Event::Key(key(0)), record.len()))));
        }
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let shown = format!("{:?}", Event::Key(key(16)));
        assert_eq!(shown, "Key(Key { time_ns: 9, process: 4, thread: 5, library: 2, length: 16, .. })");
    }
}
