//! How records are laid out: a structure that begins with a header, and the bytes that follow it.

use cargo_beyla_events as records;
use records::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most bytes that may follow the structure of a record.
const TRAILING_MAX: usize = 64 * 1024;

/// The largest record that is accepted, in bytes.
pub const RECORD_MAX: usize = TRAILING_MAX + size_of::<records::Transfer>();

/// Bytes that are no record. What follows them cannot be found, so decoding ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The size is not one that a record of this kind can have, or beyond [`RECORD_MAX`].
    #[error("a record of kind {kind} claims a size of {size} bytes")]
    Size {
        /// The kind in its header.
        kind: u16,
        /// The size in its header.
        size: u32,
    },
    /// A transfer's captured bytes are not those that follow it.
    #[error("a transfer of {length} bytes claims to carry {captured} of them and carries {carried}")]
    Captured {
        /// Bytes moved, as the record has it.
        length: u32,
        /// Bytes captured, as the record has it.
        captured: u32,
        /// Bytes that follow the structure.
        carried: usize,
    },
    /// The pieces that a transfer carries overlap, are out of order, or lie beyond what it moved.
    #[error(
        "a transfer of {length} bytes carries a piece of {piece} bytes from byte {offset} on that cannot be its own"
    )]
    Piece {
        /// Bytes moved, as the record has it.
        length: u32,
        /// Where the piece begins.
        offset: u32,
        /// Bytes of the piece.
        piece: u32,
    },
}

/// What a record of some kind says, and how.
pub(super) trait Layout<'a>: Sized {
    /// Reads a record, which is as long as its header says.
    fn read(record: &'a [u8]) -> Result<Self, DecodeError>;

    /// Appends a record of this kind.
    fn write(&self, kind: u16, records: &mut Vec<u8>);
}

/// What a record begins with.
pub(super) trait Structure: Copy + FromBytes + IntoBytes + Immutable + KnownLayout {
    fn header_mut(&mut self) -> &mut Header;
}

macro_rules! structures {
    ($($name:ty),* $(,)?) => {
        $(impl $crate::event::layout::Structure for $name {
            fn header_mut(&mut self) -> &mut cargo_beyla_events::Header {
                &mut self.header
            }
        })*
    };
}
pub(super) use structures;

impl Structure for Header {
    fn header_mut(&mut self) -> &mut Header {
        self
    }
}

/// A structure that nothing follows says it all.
impl<S: Structure> Layout<'_> for S {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        match split(record)? {
            (structure, []) => Ok(structure),
            _ => Err(wrong_size(record)),
        }
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        append(records, kind, *self, &[]);
    }
}

/// The structure that a record begins with, and the bytes that follow it.
pub(super) fn split<S: Structure>(record: &[u8]) -> Result<(S, &[u8]), DecodeError> {
    S::read_from_prefix(record).map_err(|_| wrong_size(record))
}

fn wrong_size(record: &[u8]) -> DecodeError {
    let header = Header::read_from_prefix(record).map_or(Header::default(), |(header, _)| header);
    DecodeError::Size { kind: header.kind, size: header.size }
}

/// The structure that a record begins with, and the text that follows it, as far as it is UTF-8.
pub(super) fn split_text<S: Structure>(record: &[u8]) -> Result<(S, &str), DecodeError> {
    let (structure, text) = split(record)?;
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
    };
    Ok((structure, valid))
}

/// Appends a record of this kind; kind and size in the structure's header need not be set.
pub(super) fn append<S: Structure>(records: &mut Vec<u8>, kind: u16, mut structure: S, trailing: &[u8]) {
    let header = structure.header_mut();
    (header.kind, header.size) = (kind, (size_of::<S>() + trailing.len()) as u32);
    records.extend_from_slice(structure.as_bytes());
    records.extend_from_slice(trailing);
}

/// Appends a record of this kind with a text, which is cut where it is too long for a record.
pub(super) fn append_text<S: Structure>(records: &mut Vec<u8>, kind: u16, structure: S, text: &str) {
    let end = text.floor_char_boundary(RECORD_MAX - size_of::<S>());
    append(records, kind, structure, &text.as_bytes()[..end]);
}

/// A text that follows the header alone. Its time says nothing.
impl<'a> Layout<'a> for &'a str {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        split_text::<Header>(record).map(|(_, text)| text)
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        append_text(records, kind, Header::default(), self);
    }
}
