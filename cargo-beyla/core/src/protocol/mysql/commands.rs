//! The commands of a client: section "Command Phase", and those of MariaDB.

use super::packet::{HEAD, Head, LENGTH_MAX, Reader};
use crate::protocol::statement::STATEMENT_MAX;

/// The first byte of a command.
pub(super) mod code {
    pub(in super::super) const QUIT: u8 = 0x01;
    pub(in super::super) const INIT_DB: u8 = 0x02;
    pub(in super::super) const QUERY: u8 = 0x03;
    pub(in super::super) const FIELD_LIST: u8 = 0x04;
    pub(in super::super) const CREATE_DB: u8 = 0x05;
    pub(in super::super) const DROP_DB: u8 = 0x06;
    pub(in super::super) const REFRESH: u8 = 0x07;
    pub(in super::super) const SHUTDOWN: u8 = 0x08;
    pub(in super::super) const STATISTICS: u8 = 0x09;
    pub(in super::super) const PROCESS_INFO: u8 = 0x0a;
    pub(in super::super) const PROCESS_KILL: u8 = 0x0c;
    pub(in super::super) const DEBUG: u8 = 0x0d;
    pub(in super::super) const PING: u8 = 0x0e;
    pub(in super::super) const CHANGE_USER: u8 = 0x11;
    pub(in super::super) const BINLOG_DUMP: u8 = 0x12;
    pub(in super::super) const REGISTER_REPLICA: u8 = 0x15;
    pub(in super::super) const PREPARE: u8 = 0x16;
    pub(in super::super) const EXECUTE: u8 = 0x17;
    pub(in super::super) const SEND_LONG_DATA: u8 = 0x18;
    pub(in super::super) const CLOSE: u8 = 0x19;
    pub(in super::super) const RESET: u8 = 0x1a;
    pub(in super::super) const SET_OPTION: u8 = 0x1b;
    pub(in super::super) const FETCH: u8 = 0x1c;
    pub(in super::super) const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub(in super::super) const RESET_CONNECTION: u8 = 0x1f;
    pub(in super::super) const CLONE: u8 = 0x20;
    /// Of MariaDB: to execute a statement for many rows of parameters.
    pub(in super::super) const BULK_EXECUTE: u8 = 0xfa;
}

/// The number of the statement that was prepared last, for clients of MariaDB that do not wait for the number.
pub(super) const LAST_PREPARED: u32 = u32::MAX;

/// Longer names of databases are not looked at, in bytes: MySQL's are of 64 characters.
const DATABASE_MAX: usize = 256;

/// How many bytes of a command are looked at, the first of which is this. What may hold a secret is not.
pub(super) fn kept(first: u8) -> usize {
    match first {
        // Two more stand before a statement: see `statement`.
        code::QUERY | code::PREPARE => 3 + STATEMENT_MAX,
        code::INIT_DB => 1 + DATABASE_MAX,
        _ => 5,
    }
}

/// The text of a statement behind the first byte of a command; `None` if it cannot be found. Where client and server have
/// agreed on attributes of statements, their number stands before it, and that of their sets, which is 1.
pub(super) fn statement(arguments: &[u8]) -> Option<&[u8]> {
    match arguments {
        // Their values stand before the text.
        [1..=8, 1, ..] => None,
        [0, 1, text @ ..] | text => Some(text),
    }
}

/// Whether these bytes, with which a call begins, can only be commands, as far as they go.
pub(super) fn begin(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut any = false;
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
        let Head { length, sequence } = Head::parse(*head);
        let payload = &behind[..behind.len().min(length as usize)];
        if sequence != 0 || !is_command(payload, length) {
            return false;
        }
        any = true;
        rest = &behind[payload.len()..];
    }
    any && rest.is_empty()
}

/// Whether a payload of this length that begins with these bytes is a command.
fn is_command(payload: &[u8], length: u32) -> bool {
    let mut reader = Reader(payload);
    let Some(first) = reader.byte() else { return false };
    let is_whole = payload.len() == length as usize;
    match first {
        code::QUIT | code::STATISTICS | code::PROCESS_INFO | code::DEBUG | code::PING | code::RESET_CONNECTION => {
            length == 1
        }
        code::CLOSE | code::RESET => length == 5 && is_whole,
        code::FETCH => length == 9 && is_whole,
        code::INIT_DB => is_whole && (2..=DATABASE_MAX).contains(&payload.len()) && is_text(reader.0),
        code::QUERY | code::PREPARE => statement(reader.0).is_some_and(|text| !text.is_empty() && is_text(text)),
        // The statement, flags, how often: always once.
        code::EXECUTE => {
            let (_, flags, times) = (reader.u32(), reader.byte(), reader.u32());
            length < LENGTH_MAX && times == Some(1) && flags.is_some_and(|flags| flags < 0x20)
        }
        _ => false,
    }
}

/// Whether bytes begin like a text.
fn is_text(bytes: &[u8]) -> bool {
    let mut beginning = bytes.iter().take(16);
    beginning.all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_their_form() {
        for bytes in [
            &b"\x01\0\0\0\x0e"[..],
            b"\x09\0\0\0\x03SELECT 1",
            b"\x0b\0\0\0\x03\0\x01SELECT 1",
            // Cut, and several.
            b"\xff\xff\x01\0\x16SELECT",
            b"\x05\0\0\0\x19\x01\0\0\0\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0",
            b"\x05\0\0\0\x02shop",
        ] {
            assert!(begin(bytes), "{bytes:?}");
        }
        for bytes in [
            &b""[..],
            b"\x01\0\0",
            b"\x01\0\0\x01\x0e",
            b"\x02\0\0\0\x0e\0",
            b"\x09\0\0\0\x03SELECT 1\x01",
            b"\x03\0\0\0\x03\0\0",
            b"\x0a\0\0\0\x17\x01\0\0\0\0\x02\0\0\0",
            // PostgreSQL, HTTP/2.
            b"Q\0\0\0\x0dSELECT 1\0",
            b"\0\0\x05\0\0\0\0\0\x01hello",
        ] {
            assert!(!begin(bytes), "{bytes:?}");
        }
    }
}
