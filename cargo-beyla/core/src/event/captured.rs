//! What was captured of the bytes that one call moved.

use std::fmt;

use cargo_beyla_events::Piece;
use zerocopy::{FromBytes, IntoBytes};

use super::layout::DecodeError;

/// A piece and its bytes take up a multiple of this.
const ALIGNMENT: usize = 8;

/// What was captured of the bytes that one receive or send call moved: pieces, in the order of the stream, which do
/// not overlap. What lies between two of them was moved and not captured.
#[derive(Clone, Copy)]
pub struct Captured<'a> {
    bytes: &'a [u8],
    /// Whether `bytes` are [`Piece`]s with their bytes, or one piece from offset 0 on.
    in_pieces: bool,
}

impl<'a> Captured<'a> {
    /// The first bytes that moved.
    pub const fn first(bytes: &'a [u8]) -> Self {
        Self { bytes, in_pieces: false }
    }

    /// Pieces of the `length` bytes that moved, as [`frame_pieces`] writes them.
    ///
    /// # Errors
    /// If these are no such pieces: one overlaps or precedes the one before it, or reaches beyond `length` or `bytes`.
    pub fn in_pieces(bytes: &'a [u8], length: u32) -> Result<Self, DecodeError> {
        let wrong = |piece: Piece| DecodeError::Piece { length, offset: piece.offset, piece: piece.length };
        let mut end = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = Piece::read_from_prefix(rest).map_err(|_| wrong(Piece::default()))?;
            let own = after.get(..piece.length as usize).ok_or(wrong(piece))?;
            rest = after.get(own.len().next_multiple_of(ALIGNMENT)..).ok_or(wrong(piece))?;
            if piece.offset < end {
                return Err(wrong(piece));
            }
            end = piece.offset.checked_add(piece.length).filter(|&end| end <= length).ok_or(wrong(piece))?;
        }
        Ok(Self { bytes, in_pieces: true })
    }

    /// Each piece that holds bytes: the number of bytes that the call moved before it, and the bytes.
    pub const fn pieces(&self) -> Pieces<'a> {
        Pieces(*self)
    }

    /// The bytes that are known from the first on without a gap.
    pub fn beginning(&self) -> &'a [u8] {
        match self.pieces().next() {
            Some((0, bytes)) => bytes,
            _ => &[],
        }
    }

    /// Whether they are [`Piece`]s in a record.
    pub(super) const fn is_in_pieces(&self) -> bool {
        self.in_pieces
    }

    /// As they stand in a record.
    pub(super) const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Two are equal if they hold the same bytes of the same places.
impl PartialEq for Captured<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.pieces().eq(other.pieces())
    }
}

impl Eq for Captured<'_> {}

impl fmt::Debug for Captured<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.pieces()).finish()
    }
}

/// The pieces of [`Captured`].
#[derive(Clone, Debug)]
pub struct Pieces<'a>(Captured<'a>);

impl<'a> Iterator for Pieces<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.0.in_pieces {
            let bytes = std::mem::take(&mut self.0.bytes);
            return (!bytes.is_empty()).then_some((0, bytes));
        }
        loop {
            let (piece, after) = Piece::read_from_prefix(self.0.bytes).ok()?;
            let bytes = after.get(..piece.length as usize)?;
            self.0.bytes = after.get(bytes.len().next_multiple_of(ALIGNMENT)..).unwrap_or_default();
            if !bytes.is_empty() {
                return Some((piece.offset, bytes));
            }
        }
    }
}

/// Pieces as they follow a transfer in its record: each with its offset, in the order of the stream.
pub fn frame_pieces<'a>(pieces: impl IntoIterator<Item = (u32, &'a [u8])>) -> Vec<u8> {
    let mut framed = Vec::new();
    for (offset, bytes) in pieces {
        frame_piece(&mut framed, offset, bytes);
    }
    framed
}

/// Appends the next of the pieces that [`frame_pieces`] makes.
pub(crate) fn frame_piece(framed: &mut Vec<u8>, offset: u32, bytes: &[u8]) {
    framed.extend_from_slice(Piece { offset, length: bytes.len() as u32 }.as_bytes());
    framed.extend_from_slice(bytes);
    framed.resize(framed.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use cargo_beyla_events::{CAPTURED_PIECES, Header, Transfer, kind};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Event, Operation};

    fn record(framed: &[u8], length: u32) -> Vec<u8> {
        let header = Header {
            kind: kind::RECEIVE,
            flags: CAPTURED_PIECES,
            size: (size_of::<Transfer>() + framed.len()) as u32,
            ..Header::default()
        };
        let transfer = Transfer { header, length, captured: framed.len() as u32, ..Transfer::default() };
        [transfer.as_bytes(), framed].concat()
    }

    fn pieces(framed: &[u8], length: u32) -> Result<Vec<(u32, Vec<u8>)>, DecodeError> {
        let record = record(framed, length);
        match Event::decode(&record)? {
            Some((Event::Receive(Operation { captured, .. }), size)) if size == record.len() => {
                Ok(captured.pieces().map(|(offset, bytes)| (offset, bytes.to_vec())).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    fn framed(pieces: &[(u32, &str)]) -> Vec<u8> {
        frame_pieces(pieces.iter().map(|(offset, text)| (*offset, text.as_bytes())))
    }

    #[test]
    fn the_first_bytes_are_one_piece() {
        let captured = Captured::first(b"abc");
        assert_eq!((captured.pieces().collect(), captured.beginning()), (vec![(0, &b"abc"[..])], &b"abc"[..]));
        assert_eq!((Captured::first(b"").pieces().count(), Captured::first(b"").beginning()), (0, &b""[..]));
    }

    #[test]
    fn pieces_keep_their_places() {
        let bytes = framed(&[(0, "abc"), (3, "12345678"), (100, ""), (100, "z")]);
        assert_eq!(bytes.len(), (8 + 8) + (8 + 8) + 8 + (8 + 8));
        let expected = [(0, "abc"), (3, "12345678"), (100, "z")].map(|(offset, text)| (offset, text.into()));
        assert_eq!(pieces(&bytes, 101), Ok(expected.to_vec()));
        let beginning = |pieces: &[(u32, &str)]| {
            let framed = framed(pieces);
            Captured::in_pieces(&framed, 101).map(|captured| captured.beginning().to_vec())
        };
        assert_eq!(beginning(&[(0, "abc"), (3, "d")]), Ok(b"abc".to_vec()));
        assert_eq!(beginning(&[(1, "bc")]), Ok(Vec::new()));
        assert_eq!(beginning(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_a_piece_is_captured_from_does_not_tell_two_apart() {
        let bytes = framed(&[(0, "abc")]);
        assert_eq!(Captured::in_pieces(&bytes, 3), Ok(Captured::first(b"abc")));
        let elsewhere = framed(&[(1, "abc")]);
        assert_ne!(Captured::in_pieces(&elsewhere, 4), Ok(Captured::first(b"abc")));
    }

    #[test]
    fn pieces_that_cannot_be_are_refused() {
        for (bytes, length, wrong) in [
            (framed(&[(4, "abc"), (6, "d")]), 100, (6, 1)),
            (framed(&[(4, "abc"), (3, "")]), 100, (3, 0)),
            (framed(&[(4, "abc")]), 6, (4, 3)),
            (framed(&[(u32::MAX, "a")]), u32::MAX, (u32::MAX, 1)),
            (framed(&[(0, "abc")])[..12].to_vec(), 100, (0, 3)),
            (framed(&[(0, "abc")])[..15].to_vec(), 100, (0, 3)),
            (framed(&[(0, "abc")])[..7].to_vec(), 100, (0, 0)),
            ([0, u32::MAX].as_bytes().to_vec(), u32::MAX, (0, u32::MAX)),
        ] {
            let (offset, piece) = wrong;
            assert_eq!(pieces(&bytes, length), Err(DecodeError::Piece { length, offset, piece }));
        }
        let mut lies = record(&framed(&[(0, "abc")]), 3);
        lies.extend([0; 8]);
        let size = lies.len() as u32;
        lies[4..8].copy_from_slice(size.as_bytes());
        assert!(matches!(Event::decode(&lies), Err(DecodeError::Captured { captured: 16, carried: 24, .. })));
    }

    /// Pieces as the kernel may make them: gaps and bytes by turns. Their end is how many bytes moved.
    fn moved() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
        vec((0_u32..2000, vec(any::<u8>(), 1..40)), 0..20).prop_map(|turns| {
            let mut end = 0;
            let place = |(gap, bytes): (u32, Vec<u8>)| {
                let offset = end + gap;
                end = offset + bytes.len() as u32;
                (offset, bytes)
            };
            turns.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_framed_is_decoded(moved in moved(), beyond in 0_u32..9) {
            let framed = frame_pieces(moved.iter().map(|(offset, bytes)| (*offset, &bytes[..])));
            let end = moved.last().map_or(0, |(offset, bytes)| offset + bytes.len() as u32);
            prop_assert_eq!(pieces(&framed, end + beyond), Ok(moved));
            if end > 0 {
                prop_assert!(pieces(&framed, end - 1).is_err());
            }
        }

        #[test]
        fn any_bytes_hold_pieces_in_order_or_are_refused(
            moved in moved(),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length in prop_oneof![any::<u32>(), 0_u32..3000],
        ) {
            let mut framed = frame_pieces(moved.iter().map(|(offset, bytes)| (*offset, &bytes[..])));
            for (index, byte) in changes {
                if !framed.is_empty() {
                    let index = index.index(framed.len());
                    framed[index] = byte;
                }
            }
            let mut end = 0;
            for (offset, bytes) in pieces(&framed, length).unwrap_or_default() {
                prop_assert!(offset >= end && !bytes.is_empty());
                end = offset + bytes.len() as u32;
                prop_assert!(end <= length);
            }
        }
    }
}
