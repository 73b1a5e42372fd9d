//! Frames of HTTP/2, byte by byte: RFC 9113. Header blocks are written without Huffman codes and without the table, so
//! that each field is where a test has put it.

use std::fmt::Write;

use crate::client::Client;

/// What a client sends first: the preface and empty SETTINGS.
pub const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Types of frames.
pub const DATA: u8 = 0;
/// HEADERS
pub const HEADERS: u8 = 1;
/// `RST_STREAM`
pub const RST_STREAM: u8 = 3;
/// SETTINGS
pub const SETTINGS: u8 = 4;
/// GOAWAY
pub const GOAWAY: u8 = 7;
/// `WINDOW_UPDATE`
pub const WINDOW_UPDATE: u8 = 8;
/// CONTINUATION
pub const CONTINUATION: u8 = 9;

/// Flags of frames.
pub const END_STREAM: u8 = 1;
/// Of SETTINGS: they are those of the other end, which are acknowledged.
pub const ACK: u8 = 1;
/// The header block is whole.
pub const END_HEADERS: u8 = 4;
/// There is padding.
pub const PADDED: u8 = 8;
/// There is a priority.
pub const PRIORITY: u8 = 0x20;
/// Both of the first two, as of a request without a body.
pub const ONLY: u8 = END_STREAM | END_HEADERS;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a length of 24 bits").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
        [&[length], text.as_bytes()].concat()
    };
    // Section 6.2.2 of RFC 7541: a literal that nobody indexes, with a new name.
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// HEADERS of a request.
pub fn request(flags: u8, stream: u32, method: &str, path: &str) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")];
    frame(HEADERS, flags, stream, block(&fields))
}

/// HEADERS of a response.
pub fn response(flags: u8, stream: u32, status: &str) -> Vec<u8> {
    frame(HEADERS, flags, stream, block(&[(":status", status)]))
}

/// The step by which `odd_server` sends these frames.
pub fn sending(frames: &[Vec<u8>]) -> String {
    format!("hex:{}", digits(&frames.concat()))
}

/// The step by which `odd_server` waits for HEADERS of a stream, with these flags.
pub fn awaiting(flags: u8, stream: u32) -> String {
    format!("until-hex:{}", digits(&frame(HEADERS, flags, stream, "")[3..]))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // A String takes whatever there is memory for.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// A frame that a client has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream that it belongs to, 0 for none.
    pub stream: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// Reads the next frame.
pub fn read(client: &mut Client) -> Frame {
    let header = client.exactly(9);
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    Frame { kind: header[3], flags: header[4], stream, payload: client.exactly(length) }
}

/// Reads until a stream's response is whole, and returns its content. Frames of other streams are dropped.
pub fn read_response(client: &mut Client, stream: u32) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let Frame { kind, flags, stream: of, payload } = read(client);
        let is_broken_off = kind == GOAWAY || (of == stream && kind == RST_STREAM);
        assert!(!is_broken_off, "stream {of} ends with a frame of type {kind}: {payload:?}");
        if of == stream && kind == DATA {
            content.extend(payload);
        }
        if of == stream && flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
            return content;
        }
    }
}
