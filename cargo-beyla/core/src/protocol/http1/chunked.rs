//! The chunked transfer coding: RFC 9112, section 7.1.

/// Where in a chunked message its reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the digits of a chunk's size.
    Size { size: u64, digits: u8 },
    /// In what follows the digits on their line.
    Extension { size: u64 },
    /// After the carriage return of that line.
    SizeEnd { size: u64 },
    /// In a chunk's data.
    Data { remaining: u64 },
    /// After a chunk's data, before its carriage return.
    DataEnd,
    /// Between that and the line feed.
    DataEndFeed,
    /// At the beginning of a line after the last chunk.
    Trailer,
    /// Within such a line.
    TrailerLine,
    /// After the carriage return of what should be the empty line.
    End,
    /// Behind it.
    Whole,
}

/// Bytes that are no chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotChunked;

impl Default for Chunked {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    /// Reads on and hands over the content, piece by piece; how many bytes belong to the message.
    pub(super) fn read(&mut self, input: &[u8], mut content: impl FnMut(&[u8])) -> Result<usize, NotChunked> {
        let mut position = 0;
        while let Some(&byte) = input.get(position) {
            match self {
                Self::Whole => break,
                Self::Data { remaining } => {
                    let left = input.len() - position;
                    let taken = usize::try_from(*remaining).map_or(left, |most| most.min(left));
                    *remaining -= taken as u64;
                    content(&input[position..position + taken]);
                    position += taken;
                    if *remaining == 0 {
                        *self = Self::DataEnd;
                    }
                }
                Self::Extension { size } | Self::SizeEnd { size } if byte == b'\n' => {
                    *self = Self::after_size(*size);
                    position += 1;
                }
                _ => {
                    *self = self.step(byte)?;
                    position += 1;
                }
            }
        }
        Ok(position)
    }

    /// Passes over hidden bytes, if they are the rest of a chunk or part of it: its data, and the end of the line behind
    /// it, which says nothing. How many of them are content.
    pub(super) fn skip(&mut self, length: u64) -> Result<u64, NotChunked> {
        let (content, end) = match *self {
            Self::Data { remaining } => (length.min(remaining), length.saturating_sub(remaining)),
            Self::DataEnd => (0, length),
            Self::DataEndFeed => (0, length.saturating_add(1)),
            _ if length == 0 => return Ok(0),
            _ => return Err(NotChunked),
        };
        *self = match (*self, end) {
            (Self::Data { remaining }, 0) if content < remaining => Self::Data { remaining: remaining - content },
            (_, 0) => Self::DataEnd,
            (_, 1) => Self::DataEndFeed,
            (_, 2) => Self::default(),
            _ => return Err(NotChunked),
        };
        Ok(content)
    }

    pub(super) fn is_whole(self) -> bool {
        self == Self::Whole
    }

    fn after_size(size: u64) -> Self {
        match size {
            0 => Self::Trailer,
            remaining => Self::Data { remaining },
        }
    }

    fn step(self, byte: u8) -> Result<Self, NotChunked> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => Self::Size {
                size: size << 4 | u64::from(char::from(byte).to_digit(16).unwrap_or_default()),
                digits: digits + 1,
            },
            (Self::Size { digits: 0, .. }, _) => return Err(NotChunked),
            (Self::Size { size, .. } | Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Size { size, .. }, b'\n') => Self::after_size(size),
            (Self::Size { size, .. }, b';' | b' ' | b'\t') | (Self::Extension { size }, _) => Self::Extension { size },
            (Self::DataEnd, b'\r') => Self::DataEndFeed,
            (Self::DataEnd | Self::DataEndFeed, b'\n') => Self::default(),
            (Self::Trailer, b'\r') => Self::End,
            (Self::Trailer | Self::End, b'\n') => Self::Whole,
            (Self::TrailerLine, b'\n') => Self::Trailer,
            (Self::Trailer | Self::TrailerLine, _) => Self::TrailerLine,
            _ => return Err(NotChunked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(usize, u64, bool), NotChunked> {
        let (mut chunked, mut count) = (Chunked::default(), 0);
        let taken = chunked.read(text.as_bytes(), |content| count += content.len() as u64)?;
        // One byte at a time makes no difference.
        let (mut slowly, mut count_slowly) = (Chunked::default(), 0);
        for byte in text.as_bytes() {
            slowly.read(&[*byte], |content| count_slowly += content.len() as u64)?;
        }
        assert_eq!((slowly, count_slowly), (chunked, count));
        Ok((taken, count, chunked.is_whole()))
    }

    #[test]
    fn chunks_extensions_and_trailers() {
        for (text, taken, count) in [
            ("0\r\n\r\nNEXT", 5, 0),
            ("3\r\nabc\r\n0\r\n\r\n", 13, 3),
            ("A;name=\"va;lue\"\r\n0123456789\r\n00\r\n\r\n", 35, 10),
            ("1 ; x\r\na\r\n0;last\r\nTrailer: x\r\nOther: y\r\n\r\nNEXT", 42, 1),
            ("2\nab\n0\n\n", 8, 2),
        ] {
            assert_eq!(read(text), Ok((taken, count, true)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in ["\r\n", "x", "-1\r\n", "3\r\nabcd", "00000000000000001", "1\r\na\rb", "1\rx", "0\r\n\rx"] {
            assert_eq!(read(text), Err(NotChunked), "{text:?}");
        }
    }

    #[test]
    fn the_largest_chunk() {
        let mut chunked = Chunked::default();
        assert_eq!(chunked.read(b"ffffffffffffffff\r\nab", |content| assert_eq!(content, b"ab")), Ok(20));
        assert_eq!(chunked.skip(u64::MAX - 3), Ok(u64::MAX - 3));
        assert_eq!(chunked.skip(1), Ok(1));
        assert_eq!(chunked, Chunked::DataEnd);
    }

    #[test]
    fn what_is_hidden_may_end_a_chunk_and_no_more() {
        for (read, hidden, expected) in [
            ("5\r\nab", 2, Ok((2, Chunked::Data { remaining: 1 }))),
            ("5\r\nab", 3, Ok((3, Chunked::DataEnd))),
            ("5\r\nab", 4, Ok((3, Chunked::DataEndFeed))),
            ("5\r\nab", 5, Ok((3, Chunked::default()))),
            ("5\r\nab", 6, Err(NotChunked)),
            ("5\r\nabcde", 2, Ok((0, Chunked::default()))),
            ("5\r\nabcde\r", 1, Ok((0, Chunked::default()))),
            ("5\r\nabcde\r", 2, Err(NotChunked)),
            ("5\r\nabcde\r\n", 0, Ok((0, Chunked::default()))),
            ("5\r\nabcde\r\n", 1, Err(NotChunked)),
            ("5", 1, Err(NotChunked)),
        ] {
            let mut chunked = Chunked::default();
            chunked.read(read.as_bytes(), |_| {}).expect("chunks");
            assert_eq!(chunked.skip(hidden).map(|content| (content, chunked)), expected, "{read:?} {hidden}");
        }
    }
}
