//! Keys -> what may be shown of them.

/// The longest part that is taken for a word, in bytes.
const WORD_MAX: usize = 24;

/// What is shown of longer keys is cut, in bytes.
const KEY_MAX: usize = 128;

/// What stands between the parts of a key.
const SEPARATORS: [char; 3] = [':', '/', '.'];

/// `user:42:profile` -> `user:?:profile`. A part stays if it is a word. The last of several goes if the one before it
/// stays, because it names which one: `user:alice` -> `user:?`.
pub(super) fn fold(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(&key[..key.len().min(KEY_MAX)]);
    let is_cut = key.len() > KEY_MAX;
    let mut folded = String::new();
    let mut before_stays = None;
    let mut rest = &*text;
    loop {
        let end = rest.find(SEPARATORS).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        let names_which = behind.is_empty() && before_stays == Some(true);
        let stays = is_word(part) && !names_which && !(is_cut && behind.is_empty());
        folded.push_str(if stays || part.is_empty() { part } else { "?" });
        before_stays = Some(stays);
        let mut characters = behind.chars();
        let Some(separator) = characters.next() else { return folded };
        folded.push(separator);
        rest = characters.as_str();
    }
}

/// Letters of one case, or a version such as `v2`.
fn is_word(part: &str) -> bool {
    let all = |is_letter: fn(&u8) -> bool| part.bytes().all(|byte| is_letter(&byte) || matches!(byte, b'_' | b'-'));
    let is_version = part.len() <= 3 && part.strip_prefix('v').is_some_and(|number| number.parse::<u8>().is_ok());
    let is_letters = part.len() <= WORD_MAX && (all(u8::is_ascii_lowercase) || all(u8::is_ascii_uppercase));
    is_version || (is_letters && !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_single_thing_is_folded() {
        for (key, folded) in [
            ("counter", "counter"),
            ("user:42", "user:?"),
            ("user:alice", "user:?"),
            ("user:42:profile", "user:?:profile"),
            ("cache:v2:user:42", "cache:v2:user:?"),
            ("queue/jobs", "queue/?"),
            ("42", "?"),
            ("s3cr3t", "?"),
            ("dGhpcyBp", "?"),
            ("{user:1}:x", "?:?:x"),
            ("user::1", "user::?"),
            ("", ""),
            ("a:", "a:"),
            ("a b", "?"),
            ("\u{fc}", "?"),
        ] {
            assert_eq!(fold(key.as_bytes()), folded, "{key}");
        }
        assert_eq!(fold(&[b"a:1:".as_slice(), &[b'x'; 200]].concat()), "a:?:?");
        assert_eq!(fold(b"a:\xff"), "a:?");
    }
}
