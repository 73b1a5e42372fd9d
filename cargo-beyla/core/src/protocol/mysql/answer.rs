//! How answers end: sections "`OK_Packet`", "`EOF_Packet`" and "`ERR_Packet`".

use super::packet::Reader;
use crate::protocol::message::ErrorCode;

/// The first byte of a packet that says that all is well.
pub(super) const OK: u8 = 0x00;
/// That of a packet that ends rows or descriptions.
pub(super) const END: u8 = 0xfe;
/// That of an error.
pub(super) const ERROR: u8 = 0xff;
/// That of a packet by which the server asks for a file of the client.
pub(super) const FILE: u8 = 0xfb;

/// The payload of an `EOF_Packet`, in bytes. An `OK_Packet` in its place is longer.
const EOF_LENGTH: u32 = 5;
/// A row may begin with the byte of [`END`], but only if it is longer.
const EOF_MAX: u32 = 9;

/// The code of what is no error, but tells how far a long command of MariaDB is.
const PROGRESS: u16 = 0xffff;

/// What a packet says that ends an answer, or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// The rows that were changed; 0 behind rows.
    pub(super) affected: u64,
    status: u16,
}

/// Bits of a status: `SERVER_STATUS_flags_enum`.
mod status {
    pub(super) const IN_TRANSACTION: u16 = 1;
    pub(super) const AUTOCOMMIT: u16 = 1 << 1;
    pub(super) const MORE_RESULTS: u16 = 1 << 3;
    pub(super) const CURSOR: u16 = 1 << 6;
    pub(super) const NO_ESCAPES: u16 = 1 << 9;
}

impl Ending {
    /// Of the payload of an `OK_Packet` or `EOF_Packet` of this length.
    pub(super) fn parse(payload: &[u8], length: u32) -> Option<Self> {
        let mut reader = Reader(payload);
        let kind = reader.byte()?;
        if kind == END && length == EOF_LENGTH {
            let _warnings = reader.u16()?;
            return Some(Self { affected: 0, status: reader.u16()? });
        }
        if kind != OK && kind != END {
            return None;
        }
        let affected = reader.number()?;
        let _last_id = reader.number()?;
        Some(Self { affected, status: reader.u16()? })
    }

    /// Whether another result follows.
    pub(super) fn has_more(self) -> bool {
        self.status & status::MORE_RESULTS != 0
    }

    /// Whether the rows stay with the server until they are asked for.
    pub(super) fn has_cursor(self) -> bool {
        self.status & status::CURSOR != 0
    }

    /// Whether `\` escapes in strings.
    pub(super) fn has_escapes(self) -> bool {
        self.status & status::NO_ESCAPES == 0
    }
}

/// Whether a packet is one that ends descriptions.
pub(super) fn is_separator(payload: &[u8], length: u32) -> bool {
    length == EOF_LENGTH && payload.first() == Some(&END)
}

/// Whether a packet that stands where a row may stand ends the rows. `has_separators` as of the connection.
pub(super) fn ends_rows(payload: &[u8], length: u32, has_separators: Option<bool>) -> bool {
    payload.first() == Some(&END) && (length < EOF_MAX || has_separators == Some(false))
}

/// Whether a call whose last bytes are these ends with the end of rows, behind which no other result follows.
pub(super) fn ends_with_rows_end(bytes: &[u8]) -> bool {
    let status = match bytes {
        // An `EOF_Packet` behind the first byte of its head, an `OK_Packet` behind all but the last byte of its head.
        [.., 0, 0, _, END, _, _, s0, s1] | [.., _, END, 0, 0, s0, s1, _, _] => [*s0, *s1],
        _ => return false,
    };
    let status = u16::from_le_bytes(status);
    status & (status::IN_TRANSACTION | status::AUTOCOMMIT) != 0 && status & status::MORE_RESULTS == 0
}

/// The code of an error; `None` if it is none.
pub(super) fn error_code(payload: &[u8]) -> Option<ErrorCode> {
    let mut reader = Reader(payload);
    let _kind = reader.byte();
    let Some(number) = reader.u16() else { return Some(ErrorCode::new(b"")) };
    if number == PROGRESS {
        return None;
    }
    let state = match reader.0 {
        [b'#', state @ ..] => state.first_chunk(),
        _ => None,
    };
    Some(ErrorCode::numbered(number, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_two_forms() {
        let of = |payload: &[u8]| Ending::parse(payload, payload.len() as u32);
        let old = of(&[END, 0, 0, 0x4a, 0]).expect("an end");
        assert!(old.has_more() && old.has_cursor() && old.has_escapes());
        let new = of(&[END, 0, 0, 2, 2, 0, 0]).expect("an end");
        assert!(!new.has_more() && !new.has_cursor() && !new.has_escapes());
        assert_eq!(of(&[OK, 0xfc, 1, 1, 5, 2, 0, 0, 0]).map(|ending| ending.affected), Some(257));
        assert_eq!((of(&[OK, 1]), of(&[3, 0, 0, 0, 0])), (None, None));
    }

    #[test]
    fn the_last_bytes_of_a_call_may_be_the_end_of_rows() {
        for (bytes, ends) in [
            (&[5, 0, 0, 9, END, 0, 0, 2, 0][..], true),
            (&[0, 0, 9, END, 0, 0, 1, 0], true),
            (&[7, 0, 0, 9, END, 0, 0, 2, 0, 1, 0], true),
            // Another result follows, or there is no such status.
            (&[5, 0, 0, 9, END, 0, 0, 10, 0], false),
            (&[5, 0, 0, 9, END, 0, 0, 0, 0], false),
            (b"some text", false),
            (&[END, 0, 0, 2, 0], false),
        ] {
            assert_eq!(ends_with_rows_end(bytes), ends, "{bytes:x?}");
        }
    }

    #[test]
    fn an_error_has_a_number_and_perhaps_a_state() {
        let code = |payload: &[u8]| error_code(payload).map(|code| code.as_str().to_owned());
        assert_eq!(code(b"\xff\x7a\x04#42S02Table 'secret' does not exist").as_deref(), Some("1146 (42S02)"));
        assert_eq!(code(b"\xff\x10\x04Too many connections").as_deref(), Some("1040"));
        assert_eq!(code(b"\xff\x10\x04#<\"'..x").as_deref(), Some("1040"));
        assert_eq!((code(b"\xff").as_deref(), code(b"\xff\xff\xff\x01\x01")), (Some(""), None));
    }
}
