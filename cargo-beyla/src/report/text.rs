//! Text of strangers made fit for a terminal: escaped, measured, shortened, wrapped.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub(super) use crate::console::wrap::wrap;

/// How many columns a text without control characters takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text with every character escaped that could steer a terminal or hide in it.
///
/// Clients choose methods and paths, and may send escape sequences in them.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unfit(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character could steer a terminal or hide in it.
pub(super) fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Soft hyphen, zero-width characters, line separators, the reordering of right-to-left
            // text, the byte-order mark, tags.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text in at most `columns` columns: its middle gives way to `…`.
pub(super) fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(1);
    // The beginning of a path says the most, and its end says more than its middle.
    let tail_room = room / 2;
    let head = fitting(text.chars(), room - tail_room);
    let tail = fitting(text[head..].chars().rev(), tail_room);
    Cow::Owned(format!("{}…{}", &text[..head], &text[text.len() - tail..]))
}

/// The text in at most `columns` columns: its beginning gives way to `…`.
pub(super) fn shorten_start(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let tail = fitting(text.chars().rev(), columns.saturating_sub(1));
    Cow::Owned(format!("…{}", &text[text.len() - tail..]))
}

/// How many bytes of the characters fit into `columns` columns.
fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> usize {
    let mut used = 0;
    let mut bytes = 0;
    for character in characters {
        used += character.width().unwrap_or(0);
        if used > columns {
            break;
        }
        bytes += character.len_utf8();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escape("/users/é?q=ü 日本"), "/users/é?q=ü 日本");
        assert_eq!(escape("/\x1b[2J\r\n\0\u{7f}"), "/\\u{1b}[2J\\r\\n\\u{0}\\u{7f}");
        assert_eq!(escape("\u{9b}31m\u{202e}"), "\\u{9b}31m\\u{202e}");
    }

    #[test]
    fn the_middle_gives_way() {
        assert_eq!(shorten("/short", 6), "/short");
        assert_eq!(shorten("/a/long/path/to/it", 11), "/a/lo…to/it");
        assert_eq!(shorten("日本日本日本", 6), "日…本");
        assert_eq!(shorten("/x", 1), "…");
        assert_eq!((&*shorten_start("api::users", 6), &*shorten_start("日本", 4)), ("…users", "日本"));
    }

    proptest! {
        #[test]
        fn shortened_text_fits(text in "\\PC*", columns in 1usize..40) {
            prop_assert!(width(&shorten(&text, columns)) <= columns);
        }

        #[test]
        fn escaped_text_steers_nothing(text in any::<String>()) {
            prop_assert!(!escape(&text).contains(is_unfit));
        }
    }
}
