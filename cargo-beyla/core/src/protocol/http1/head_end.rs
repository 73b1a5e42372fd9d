//! Finds the end of a head, however it is cut.

use memchr::memchr;

/// The longest head that is read, in bytes.
pub(super) const HEAD_MAX: usize = 16 * 1024;

/// A buffer and new input, taken together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// There is a whole head, and the input behind it.
    Head(&'a [u8], &'a [u8]),
    /// All of the input is in the buffer now, and there is no whole head in it.
    Partial,
    /// A head would be longer than [`HEAD_MAX`].
    TooLong,
}

/// Looks for the end of a head; copies only what is left over for later.
pub(super) fn find_head<'a>(buffer: &'a mut Vec<u8>, input: &'a [u8]) -> Found<'a> {
    if buffer.is_empty() {
        return match end_of_head(input, 0) {
            Some(end) if end <= HEAD_MAX => Found::Head(&input[..end], &input[end..]),
            None if input.len() <= HEAD_MAX => {
                buffer.extend_from_slice(input);
                Found::Partial
            }
            _ => Found::TooLong,
        };
    }
    let before = buffer.len();
    let taken = input.len().min((HEAD_MAX + 1).saturating_sub(before));
    buffer.extend_from_slice(&input[..taken]);
    // The end may have begun among the bytes that were there before.
    match end_of_head(buffer, before.saturating_sub(2)) {
        Some(end) if end <= HEAD_MAX => Found::Head(&buffer[..end], &input[end.saturating_sub(before)..]),
        None if buffer.len() <= HEAD_MAX => Found::Partial,
        _ => Found::TooLong,
    }
}

/// The position behind the first empty line, looked for from `from` on.
pub(super) fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut position = from;
    loop {
        position += memchr(b'\n', bytes.get(position..)?)? + 1;
        match bytes.get(position..)? {
            [b'\n', ..] => return Some(position + 1),
            [b'\r', b'\n', ..] => return Some(position + 2),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_wherever_it_is_cut() {
        let text = b"GET / HTTP/1.1\r\na: b\r\n\r\nrest";
        for cut in 1..text.len() - 4 {
            let mut buffer = Vec::new();
            assert_eq!(find_head(&mut buffer, &text[..cut]), Found::Partial);
            let whole = find_head(&mut buffer, &text[cut..]);
            assert_eq!(whole, Found::Head(&text[..text.len() - 4], b"rest"), "{cut}");
        }
    }

    #[test]
    fn the_longest_head() {
        for (length, fits) in [(HEAD_MAX, true), (HEAD_MAX + 1, false)] {
            let padding = "x".repeat(length - "GET / HTTP/1.1\r\na:\r\n\r\n".len());
            let text = format!("GET / HTTP/1.1\r\na:{padding}\r\n\r\n");
            assert_eq!(text.len(), length);
            for cut in [0, 1, 100, HEAD_MAX - 1] {
                let mut buffer = Vec::new();
                if cut > 0 {
                    assert_eq!(find_head(&mut buffer, &text.as_bytes()[..cut]), Found::Partial);
                }
                let whole = find_head(&mut buffer, &text.as_bytes()[cut..]);
                assert_eq!(matches!(whole, Found::Head(..)), fits, "{length} {cut}");
                assert_eq!(whole == Found::TooLong, !fits, "{length} {cut}");
            }
        }
    }
}
