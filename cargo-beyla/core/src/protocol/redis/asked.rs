//! The arguments of a command, one after the other -> what it asks for.

use super::commands::{Known, NAME_MAX, known, opens};
use super::key;
use crate::protocol::kept::Kept;

/// How much of a key is looked at, in bytes.
const KEY_MAX: usize = 256;

/// A command while its arguments come. Of these it keeps the name, the word behind it where that belongs to the name,
/// and the first key until that is folded; never a value.
#[derive(Debug)]
pub(super) struct Asked {
    /// The place of the argument at hand; the name is at 0.
    place: usize,
    /// The argument at hand, if it is one that is looked at.
    argument: Kept,
    name: String,
    known: Known,
    /// The word behind the name.
    word: Option<String>,
    /// Of the number of keys: whether it is 0.
    has_no_keys: bool,
    /// Of streams: the next argument is the key.
    is_key_next: bool,
    blocks: bool,
    key: Option<String>,
}

impl Asked {
    pub(super) fn new() -> Self {
        Self {
            place: 0,
            argument: Kept::default(),
            name: String::new(),
            known: Known::Alone,
            word: None,
            has_no_keys: false,
            is_key_next: false,
            blocks: false,
            key: None,
        }
    }

    /// Bytes of the argument at hand.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.wants() {
            self.argument.add(bytes, KEY_MAX);
        }
    }

    /// The argument at hand is whole.
    pub(super) fn end_argument(&mut self) {
        if self.wants() {
            let argument = std::mem::take(&mut self.argument);
            self.take(&argument);
        }
        self.place += 1;
    }

    /// Whether the argument at hand is looked at.
    fn wants(&self) -> bool {
        match self.known {
            _ if self.place == 0 => true,
            Known::KeyAt(place) => self.place == place,
            Known::KeyBehindCount(place) => self.place + 1 == place || self.place == place,
            Known::Container(place) => self.place == 1 || self.place == place,
            Known::Streams => self.key.is_none(),
            Known::Alone | Known::Subscription | Known::TakesOver => false,
        }
    }

    fn take(&mut self, argument: &[u8]) {
        match self.known {
            _ if self.place == 0 => {
                self.name = word(argument, b"._").unwrap_or_default();
                self.known = known(&self.name);
            }
            Known::KeyBehindCount(place) if self.place < place => self.has_no_keys = argument == b"0",
            Known::KeyBehindCount(_) if self.has_no_keys => {}
            Known::Container(_) if self.place == 1 => self.word = word(argument, b""),
            Known::Streams if !self.is_key_next => {
                self.is_key_next = argument.eq_ignore_ascii_case(b"STREAMS");
                self.blocks |= argument.eq_ignore_ascii_case(b"BLOCK");
            }
            Known::KeyAt(_) | Known::KeyBehindCount(_) | Known::Container(_) | Known::Streams => {
                self.key = Some(key::fold(argument));
            }
            Known::Alone | Known::Subscription | Known::TakesOver => {}
        }
    }

    /// A command that is a line: its words are its arguments.
    pub(super) fn inline(line: &[u8]) -> Self {
        let mut asked = Self::new();
        for argument in line.split(|&byte| byte == b' ').filter(|argument| !argument.is_empty()) {
            asked.bytes(argument);
            asked.end_argument();
        }
        asked
    }

    /// Whether it consists of nothing: servers read over that.
    pub(super) fn is_empty(&self) -> bool {
        self.place == 0
    }

    pub(super) fn known(&self) -> Known {
        self.known
    }

    /// Whether clients send it by themselves when they have opened a connection.
    pub(super) fn opens(&self) -> bool {
        opens(&self.name)
    }

    /// Whether it is about how the connection is answered, and may say that it is not.
    pub(super) fn changes_replies(&self) -> bool {
        self.name == "CLIENT" && self.word.as_deref() == Some("REPLY")
    }

    /// The command in a few words.
    pub(super) fn summary(&self) -> String {
        let name = if self.name.is_empty() { "COMMAND" } else { &self.name };
        match &self.word {
            Some(word) => format!("{name} {word}"),
            None if self.blocks => format!("{name} BLOCK"),
            None => name.to_owned(),
        }
    }

    /// The command with its folded key, if it has one.
    pub(super) fn text(&self) -> String {
        match &self.key {
            Some(key) => format!("{} {key}", self.summary()),
            None => self.summary(),
        }
    }
}

/// The name of a command in capitals, if these bytes can be one.
fn word(bytes: &[u8], also: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-' || also.contains(byte);
    let is_word = !bytes.is_empty() && bytes.len() <= NAME_MAX && bytes.iter().all(is_part);
    is_word.then(|| str::from_utf8(bytes).ok().map(str::to_ascii_uppercase)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_its_name_and_its_folded_key() {
        for (line, summary, text) in [
            ("get user:1", "GET", "GET user:?"),
            ("SET user:1 secret EX 10", "SET", "SET user:?"),
            ("PING", "PING", "PING"),
            ("ECHO secret", "ECHO", "ECHO"),
            ("AUTH alice secret", "AUTH", "AUTH"),
            ("HELLO 3 AUTH alice secret", "HELLO", "HELLO"),
            ("CLIENT SETNAME secret", "CLIENT SETNAME", "CLIENT SETNAME"),
            ("CONFIG SET requirepass secret", "CONFIG SET", "CONFIG SET"),
            ("OBJECT ENCODING user:1", "OBJECT ENCODING", "OBJECT ENCODING user:?"),
            ("EVAL secret 1 user:1 secret", "EVAL", "EVAL user:?"),
            ("EVAL secret 0 secret", "EVAL", "EVAL"),
            ("ZINTER 2 a b", "ZINTER", "ZINTER a"),
            ("BLMPOP 0 1 queue LEFT", "BLMPOP", "BLMPOP queue"),
            ("BITOP AND to from", "BITOP", "BITOP to"),
            ("XREAD COUNT 1 BLOCK 5 STREAMS events 0", "XREAD BLOCK", "XREAD BLOCK events"),
            ("XREADGROUP GROUP g c STREAMS events >", "XREADGROUP", "XREADGROUP events"),
            ("JSON.GET user:1 $", "JSON.GET", "JSON.GET user:?"),
            ("MYMODULE.DO secret", "MYMODULE.DO", "MYMODULE.DO"),
            ("s3cr3t x", "COMMAND", "COMMAND"),
            ("CLIENT 5ecret", "CLIENT", "CLIENT"),
        ] {
            let asked = Asked::inline(line.as_bytes());
            assert_eq!((&*asked.summary(), &*asked.text()), (summary, text), "{line}");
            let shown = format!("{asked:?}");
            assert!(!shown.contains("secret") && !shown.contains("alice"), "{shown}");
        }
        assert!(Asked::inline(b"  ").is_empty() && Asked::inline(b"CLIENT REPLY OFF").changes_replies());
    }
}
