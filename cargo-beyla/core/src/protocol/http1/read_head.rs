//! Reads the head of a message, in either direction.

use super::head_cache::{Head, HeadCache};
use super::head_end::{Found, find_head};

/// What has come of a head.
#[derive(Debug)]
pub(super) enum ReadHead<'a, T> {
    /// All of it. The last bytes of the input, this many, lie behind it.
    Whole { bytes: &'a [u8], head: T, left: usize },
    /// All of it, and it cannot be read; likewise.
    Unreadable { bytes: &'a [u8], left: usize },
    /// A beginning, which is in the buffer. If a check `is_due`, it is time to see whether it may become a head: not at
    /// each byte that comes, or the work would grow with the square of the length.
    Partial { is_due: bool },
    /// More than is read of a head.
    TooLong,
}

/// Reads on in a head. The buffer holds what has come of it before.
pub(super) fn read_head<'a, T: Head>(
    buffer: &'a mut Vec<u8>,
    input: &'a [u8],
    cache: &mut HeadCache<T>,
) -> ReadHead<'a, T> {
    if buffer.is_empty()
        && let Some((bytes, head)) = cache.again(input)
    {
        return ReadHead::Whole { bytes, head, left: input.len() - bytes.len() };
    }
    let before = buffer.len();
    match find_head(buffer, input) {
        Found::Head(bytes, rest) => match cache.read(bytes) {
            Ok(head) => ReadHead::Whole { bytes, head, left: rest.len() },
            Err(_) => ReadHead::Unreadable { bytes, left: rest.len() },
        },
        Found::Partial => ReadHead::Partial { is_due: before.next_power_of_two() < before + input.len() },
        Found::TooLong => ReadHead::TooLong,
    }
}
