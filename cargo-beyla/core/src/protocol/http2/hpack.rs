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

    /// Decodes one block and hands out its fields in their order. After an error nothing is known of the table.
    pub(super) fn decode(&mut self, block: &[u8], take: impl FnMut(Field<'_>)) -> Result<(), Broken> {
        let decoded = self.decode_fields(block, take);
        if decoded.is_err() {
            self.lose();
        }
        decoded
    }

    fn decode_fields(&mut self, block: &[u8], mut take: impl FnMut(Field<'_>)) -> Result<(), Broken> {
        let input = &mut &*block;
        while let Some(&first) = input.first() {
            // Section 6: the first bits say what follows.
            match first {
                0x80.. => {
                    let index = integer(input, 7)?;
                    if index == 0 {
                        return Err(Broken);
                    }
                    take(self.table.get(index).unwrap_or(Field { name: None, value: None }));
                }
                0x40.. => {
                    let field = literal(input, 6, &self.table, &mut self.name, &mut self.value)?;
                    take(field);
                    self.table.add(field.name, field.value.unwrap_or_default());
                }
                0x20.. => {
                    let size = integer(input, 5)?;
                    self.table.resize(size);
                }
                _ => take(literal(input, 4, &self.table, &mut self.name, &mut self.value)?),
            }
        }
        Ok(())
    }
}

/// A field whose value, at least, stands in the block: section 6.2. Its name and value are put into the buffers.
fn literal<'b>(
    input: &mut &[u8],
    prefix: u32,
    table: &Table,
    name: &'b mut Vec<u8>,
    value: &'b mut Vec<u8>,
) -> Result<Field<'b>, Broken> {
    let is_known = match integer(input, prefix)? {
        0 => {
            string(input, name)?;
            true
        }
        index => {
            let known = table.get(index).and_then(|field| field.name);
            name.clear();
            name.extend_from_slice(known.unwrap_or_default());
            known.is_some()
        }
    };
    string(input, value)?;
    let name: &[u8] = name;
    Ok(Field { name: is_known.then_some(name), value: Some(value) })
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

/// Section 5.2: plain or in the Huffman code. It takes the place of what is in the buffer.
fn string(input: &mut &[u8], into: &mut Vec<u8>) -> Result<(), Broken> {
    let is_coded = input.first().ok_or(Broken)? & 0x80 != 0;
    let length = integer(input, 7)?;
    let (bytes, rest) = input.split_at_checked(length).ok_or(Broken)?;
    *input = rest;
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
