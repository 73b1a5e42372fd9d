//! From the ring buffer to the parent: records are copied as they are, in batches.

use std::io::{self, Write};

use aya::maps::{MapData, RingBuf};
use cargo_beyla_events::{Endpoint, Header, Listen, kind};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes written to the parent at once.
const BATCH: usize = 256 * 1024;

/// What the helper itself must notice of what passes through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noticed {
    /// Records copied.
    pub records: usize,
    /// The process executed its program.
    pub executed: bool,
    /// Sockets that began to listen, by the address family of the latest.
    pub listening: Option<u16>,
    /// Whether a Unix socket was among them.
    pub listening_unix: bool,
}

/// The reader of the ring buffer.
pub struct Records<W> {
    ring: RingBuf<MapData>,
    batch: Vec<u8>,
    output: W,
}

impl<W: Write> Records<W> {
    /// Reads `ring` and writes to `output`.
    pub fn new(ring: RingBuf<MapData>, output: W) -> Self {
        Self { ring, batch: Vec::with_capacity(2 * BATCH), output }
    }

    /// The ring buffer, to wait for.
    pub fn ring(&self) -> &RingBuf<MapData> {
        &self.ring
    }

    /// Passes on all that waits in the ring buffer.
    ///
    /// # Errors
    /// If the parent no longer reads.
    pub fn pass_on(&mut self) -> io::Result<Noticed> {
        let mut noticed = Noticed::default();
        while let Some(record) = self.ring.next() {
            notice(&record, &mut noticed);
            self.batch.extend_from_slice(&record);
            drop(record);
            if self.batch.len() >= BATCH {
                self.output.write_all(&self.batch)?;
                self.batch.clear();
            }
        }
        self.output.write_all(&self.batch)?;
        self.batch.clear();
        Ok(noticed)
    }

    /// Writes a record of the helper's own, with the bytes that follow it.
    ///
    /// # Errors
    /// If the parent no longer reads.
    pub fn write(&mut self, record: &[u8]) -> io::Result<()> {
        self.output.write_all(record)
    }
}

/// A record that is a header alone, followed by a message.
pub fn message(kind: u16, text: &str) -> Vec<u8> {
    let header = Header {
        kind,
        reserved: 0,
        size: (size_of::<Header>() + text.len()) as u32,
        time_ns: 0,
        connection: 0,
    };
    let mut record = header.as_bytes().to_vec();
    record.extend_from_slice(text.as_bytes());
    record
}

fn notice(record: &[u8], noticed: &mut Noticed) {
    noticed.records += 1;
    let Ok((header, _)) = Header::read_from_prefix(record) else { return };
    match header.kind {
        kind::EXEC => noticed.executed = true,
        kind::LISTEN => {
            if let Ok((Listen { local: Endpoint { family, .. }, .. }, _)) = Listen::read_from_prefix(record) {
                noticed.listening = Some(family);
                noticed.listening_unix |= family == cargo_beyla_events::AF_UNIX;
            }
        }
        _ => {}
    }
}
