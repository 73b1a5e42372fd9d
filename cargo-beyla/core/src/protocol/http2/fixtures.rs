//! Frames made by hand, for tests.

pub(crate) use super::frame::PREFACE;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 0x20;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    [&[l0, l1, l2, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that are not added to the table.
pub(crate) fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

pub(crate) fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, flags, stream, &literals(fields))
}

pub(crate) fn data(flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, content)
}

/// `RST_STREAM` with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, 8])
}

/// A message of gRPC, compressed.
pub(crate) fn message(length: usize) -> Vec<u8> {
    [&[1][..], &(length as u32).to_be_bytes(), &vec![b'm'; length]].concat()
}
