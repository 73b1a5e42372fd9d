//! What a record that has its nonce holds.

use super::key::Nonce;
use super::open::Open;
use super::record::Payload;
use crate::event::{Captured, frame_piece};

/// Deciphers what is known of a record, and leaves of `payload.parts` what is text, by its place in the text. Returns
/// where in `payload.bytes` that begins.
pub(super) fn decipher(open: &Open, nonce: &Nonce, payload: &mut Payload, text_length: usize) -> usize {
    let text_at = open.form.text_at();
    let (mut at, mut from) = (0, 0);
    let Payload { bytes, parts } = payload;
    parts.retain_mut(|(offset, length)| {
        let start = (*offset).max(text_at);
        let end = (*offset + *length).min(text_at + text_length);
        let before = start - *offset;
        let known = *length;
        if start >= end {
            if end <= text_at {
                from += known;
            }
            at += known;
            return false;
        }
        if *offset < text_at {
            from += before;
        }
        open.key.decipher(nonce, start - text_at, &mut bytes[at + before..at + before + (end - start)]);
        at += known;
        (*offset, *length) = (start - text_at, end - start);
        true
    });
    from
}

/// The kind of what a record of TLS 1.3 holds, if that is known, and how much it holds: RFC 8446, section 5.2.
pub(super) fn inner(payload: &Payload, from: usize, text_length: usize) -> (Option<u8>, usize) {
    let known: usize = payload.parts.iter().map(|(_, length)| length).sum();
    let Some(&(offset, length)) = payload.parts.last().filter(|(offset, length)| offset + length == text_length) else {
        return (None, text_length - 1);
    };
    let last = &payload.bytes[from..][known - length..known];
    match last.iter().rposition(|byte| *byte != 0) {
        Some(place) => (Some(last[place]), offset + place),
        // All that is known of its end is padding.
        None if offset > 0 => (None, offset - 1),
        None => (Some(0), 0),
    }
}

/// The first `length` bytes of the text, as far as they are known. The text begins in `payload.bytes` at `from`; `pieces` is
/// room for what is known in several pieces.
pub(super) fn captured<'a>(payload: &'a Payload, from: usize, length: usize, pieces: &'a mut Vec<u8>) -> Captured<'a> {
    if let [(0, known)] = payload.parts[..] {
        return Captured::first(&payload.bytes[from..][..known.min(length)]);
    }
    pieces.clear();
    let mut rest = &payload.bytes[from..];
    for &(offset, known) in &payload.parts {
        let (piece, behind) = rest.split_at(known);
        let piece = &piece[..known.min(length.saturating_sub(offset))];
        if !piece.is_empty() {
            frame_piece(pieces, offset as u32, piece);
        }
        rest = behind;
    }
    Captured::in_pieces(pieces, length as u32).unwrap_or(Captured::first(&[]))
}
