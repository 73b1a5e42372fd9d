//! Records that were taken from the kernel and are still to be analysed.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use cargo_beyla_core::event::Event;
use cargo_beyla_events::{Header, kind};
use zerocopy::FromBytes;
use zeroize::Zeroize;

/// How many bytes of records stand in one piece of memory.
const CHUNK: usize = 256 * 1024;
/// How many empty pieces are kept for records to come.
const SPARE_CHUNKS: usize = 8;

/// The length of a record, before each.
type Length = u32;

/// Records in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    chunks: VecDeque<Vec<u8>>,
    /// How much of the first chunk was taken.
    taken: usize,
    spare: Vec<Vec<u8>>,
}

impl Backlog {
    /// Adds a record.
    pub(crate) fn push(&mut self, record: &[u8]) {
        let length = record.len() as Length;
        let chunk = self.chunk_for(size_of::<Length>() + record.len());
        chunk.extend_from_slice(&length.to_ne_bytes());
        chunk.extend_from_slice(record);
    }

    /// Adds the record of an event.
    pub(crate) fn push_event(&mut self, event: &Event<'_>) {
        self.push(&event.to_record());
    }

    /// A chunk at the end that has room for this many bytes more.
    fn chunk_for(&mut self, more: usize) -> &mut Vec<u8> {
        let has_room = self.chunks.back().is_some_and(|chunk| chunk.len() + more <= chunk.capacity());
        if !has_room {
            let spare = self.spare.pop().filter(|chunk| chunk.capacity() >= more);
            self.chunks.push_back(spare.unwrap_or_else(|| Vec::with_capacity(CHUNK.max(more))));
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last]
    }

    /// Adds all that another one holds.
    pub(crate) fn append(&mut self, other: &mut Self) {
        debug_assert_eq!(other.taken, 0, "records are taken from this one only");
        self.chunks.append(&mut other.chunks);
        while other.spare.len() < SPARE_CHUNKS / 2
            && let Some(chunk) = self.spare.pop()
        {
            other.spare.push(chunk);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum::<usize>() - self.taken
    }

    /// Hands records to `take`, in order, until it breaks off or none is left. One that holds a key is wiped afterwards.
    pub(crate) fn take(&mut self, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) {
        while let Some(chunk) = self.chunks.front_mut() {
            while let Some((length, rest)) = chunk[self.taken..].split_first_chunk_mut() {
                let length = Length::from_ne_bytes(*length) as usize;
                let record = &mut rest[..length];
                self.taken += size_of::<Length>() + length;
                let flow = take(record);
                if kind_of(record) == Some(kind::KEY) {
                    record.zeroize();
                }
                if flow.is_break() {
                    return;
                }
            }
            self.taken = 0;
            if let Some(mut chunk) = self.chunks.pop_front()
                && self.spare.len() < SPARE_CHUNKS
            {
                chunk.clear();
                self.spare.push(chunk);
            }
        }
    }
}

/// The kind of a record, if it is one.
pub(crate) fn kind_of(record: &[u8]) -> Option<u16> {
    Header::read_from_prefix(record).ok().map(|(header, _)| header.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::event::Moment;

    /// The first `most` records, as they are taken.
    fn taken(backlog: &mut Backlog, most: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        backlog.take(|record| {
            records.push(record.to_vec());
            if records.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        records
    }

    fn stopping(time_ns: u64) -> Event<'static> {
        Event::Stopping(Moment { time_ns })
    }

    #[test]
    fn records_come_out_whole_and_in_order() {
        let sizes = [1, 0, 100_000, CHUNK, 7, 2 * CHUNK, 3];
        let expected: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(index, size)| vec![index as u8; *size]).collect();
        for most in 1..=sizes.len() {
            let mut backlog = Backlog::default();
            for record in &expected {
                backlog.push(record);
            }
            let bytes: usize = sizes.iter().map(|size| size + size_of::<Length>()).sum();
            assert_eq!(backlog.bytes(), bytes);
            let mut records = Vec::new();
            while !backlog.is_empty() {
                records.extend(taken(&mut backlog, most));
            }
            assert_eq!(records, expected, "{most} at a time");
            assert_eq!(backlog.bytes(), 0);
        }
    }

    #[test]
    fn what_is_appended_follows_what_was_not_taken() {
        let (mut first, mut second) = (Backlog::default(), Backlog::default());
        let records: Vec<_> = (0..4).map(|time_ns| stopping(time_ns).to_record()).collect();
        first.push(&records[0]);
        first.push_event(&stopping(1));
        assert_eq!(taken(&mut first, 1), records[..1]);
        second.push(&records[2]);
        first.append(&mut second);
        assert!(second.is_empty());
        second.push(&records[3]);
        first.append(&mut second);
        assert_eq!(taken(&mut first, usize::MAX), records[1..]);
    }

    #[test]
    fn a_key_is_wiped_once_it_was_taken() {
        let mut key = stopping(1).to_record();
        key[..2].copy_from_slice(&kind::KEY.to_ne_bytes());
        let mut backlog = Backlog::default();
        backlog.push(&key);
        backlog.push_event(&stopping(2));
        assert_eq!(taken(&mut backlog, 1), [key.clone()]);
        let record = size_of::<Length>()..size_of::<Length>() + key.len();
        assert!(backlog.chunks[0][record].iter().all(|byte| *byte == 0));
        assert_eq!(taken(&mut backlog, 1), [stopping(2).to_record()]);
    }
}
