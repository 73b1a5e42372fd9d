//! HPACK, the compression of header fields (RFC 7541), as somebody decodes it who listens to two others.
//!
//! A listener may come late or miss a block. So an index that it does not know is no error: the field that it stands
//! for is unknown, and decoding goes on. A listener does not judge either: who shrinks or grows its table says so in
//! the block itself (section 4.2), and whether the other end has allowed it by `SETTINGS_HEADER_TABLE_SIZE` is the
//! other end's business. What an index means does not depend on it: indexes count from the newest entry.
//!
//! The Huffman code is the crate httlib-huffman's: it reads five bits at a time, allocates nothing of its own accord, and what it
//! returns is at most 8/5 of its input. Whole decoders end at the first index that they do not know.

mod static_table;
mod table;

use httlib_huffman::DecoderSpeed;
use table::Table;

/// The bytes that follow the first of an integer at most: enough for 2^28, and nothing here is larger.
const INTEGER_BYTES_MAX: usize = 4;

/// A header field, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

/// A block does not follow the RFC, or ends too early. What follows can be decoded no better than after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Decodes the blocks of one direction of a connection.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// Decodes from the first block of a connection on.
    pub(super) fn new() -> Self {
        Self { table: Table::new(), name: Vec::new(), value: Vec::new() }
    }

    /// Blocks were missed, or parts of one: what the encoder has in its table now is not known.
    pub(super) fn lose(&mut self) {
        self.table = Table::unknown();
    }

    /// Decodes one block and hands out its fields in their order. Where it can be done without, the value of a name that
    /// is not wanted is not decoded, and its field not handed out. After an error nothing is known of the table.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        is_wanted: impl Fn(&[u8]) -> bool,
        take: impl FnMut(Field<'_>),
    ) -> Result<(), Broken> {
        let decoded = self.decode_fields(block, is_wanted, take);
        if decoded.is_err() {
            self.lose();
        }
        decoded
    }

    fn decode_fields(
        &mut self,
        block: &[u8],
        is_wanted: impl Fn(&[u8]) -> bool,
        mut take: impl FnMut(Field<'_>),
    ) -> Result<(), Broken> {
        let Self { table, name, value } = self;
        let input = &mut &*block;
        while let Some(&first) = input.first() {
            // Section 6: the first bits say what follows.
            match first {
                0x80.. => {
                    let index = integer(input, 7)?;
                    if index == 0 {
                        return Err(Broken);
                    }
                    take(table.get(index).unwrap_or(Field { name: None, value: None }));
                }
                0x40.. => {
                    let is_known = literal_name(input, 6, table, name)?;
                    decode_string(string(input)?, value)?;
                    let name = is_known.then_some(&**name);
                    take(Field { name, value: Some(value) });
                    table.add(name, value);
                }
                0x20.. => {
                    let size = integer(input, 5)?;
                    table.resize(size);
                }
                _ => {
                    let is_known = literal_name(input, 4, table, name)?;
                    let coded = string(input)?;
                    // Nothing refers to it afterwards.
                    if !is_known || is_wanted(name) {
                        decode_string(coded, value)?;
                        take(Field { name: is_known.then_some(&**name), value: Some(value) });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The name of a field whose value, at least, stands in the block: section 6.2. It is put into the buffer; returns
/// whether it is known.
fn literal_name(input: &mut &[u8], prefix: u32, table: &Table, name: &mut Vec<u8>) -> Result<bool, Broken> {
    match integer(input, prefix)? {
        0 => decode_string(string(input)?, name).map(|()| true),
        index => {
            let known = table.get(index).and_then(|field| field.name);
            name.clear();
            name.extend_from_slice(known.unwrap_or_default());
            Ok(known.is_some())
        }
    }
}

/// Section 5.1: in the last bits of the first byte, or in those that follow it.
fn integer(input: &mut &[u8], prefix: u32) -> Result<usize, Broken> {
    let (&first, mut rest) = input.split_first().ok_or(Broken)?;
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        for at in 0.. {
            let (&byte, left) = rest.split_first().filter(|_| at < INTEGER_BYTES_MAX).ok_or(Broken)?;
            rest = left;
            value += usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *input = rest;
    Ok(value)
}

/// Section 5.2: a string as it stands in the block, and whether that is in the Huffman code.
fn string<'b>(input: &mut &'b [u8]) -> Result<(bool, &'b [u8]), Broken> {
    let is_coded = input.first().ok_or(Broken)? & 0x80 != 0;
    let length = integer(input, 7)?;
    let (bytes, rest) = input.split_at_checked(length).ok_or(Broken)?;
    *input = rest;
    Ok((is_coded, bytes))
}

/// It takes the place of what is in the buffer.
fn decode_string((is_coded, bytes): (bool, &[u8]), into: &mut Vec<u8>) -> Result<(), Broken> {
    into.clear();
    if is_coded {
        httlib_huffman::decode(bytes, into, DecoderSpeed::FiveBits).map_err(|_| Broken)
    } else {
        into.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
