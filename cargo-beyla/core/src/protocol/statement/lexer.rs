//! Bytes -> tokens, by the lexical rules of a database.

use super::Dialect;

/// A part of a statement that stands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, or a name without quotes.
    Word(&'a [u8]),
    /// A name in quotes: what stands between them, and the quote.
    Quoted(&'a [u8], u8),
    /// A string, a number, or what cannot be told from one.
    Literal,
    /// The place of a value that comes apart, such as `$1`.
    Parameter(&'a [u8]),
    /// One character of an operator or of punctuation.
    Symbol(u8),
}

impl Token<'_> {
    /// Whether it is this keyword, which is given in capitals.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// Reads the tokens of a statement.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    dialect: Dialect,
    rest: &'a [u8],
    /// Whether white space or a comment stood before the last token.
    spaced: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(dialect: Dialect, sql: &'a [u8]) -> Self {
        Self { dialect, rest: sql, spaced: false }
    }

    fn is_mysql(&self) -> bool {
        matches!(self.dialect, Dialect::Mysql { .. })
    }

    /// Whether white space or a comment stood before the token that was read last.
    pub(super) fn is_spaced(&self) -> bool {
        self.spaced
    }

    /// The token behind the one that was read last.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, is_part: fn(u8) -> bool) -> &'a [u8] {
        self.take(self.rest.iter().position(|&byte| !is_part(byte)).unwrap_or(self.rest.len()))
    }

    /// The rest cannot be read, or must not.
    fn give_up(&mut self) -> Token<'a> {
        self.rest = &[];
        Token::Literal
    }

    fn skip_space(&mut self) {
        let is_mysql = self.is_mysql();
        loop {
            match self.rest {
                // There it goes on with white space, or these are two operators: `1--1`.
                [b'-', b'-', behind @ ..] if is_mysql && behind.first().is_none_or(|byte| is_space(*byte)) => {
                    self.take_while(|byte| byte != b'\n');
                }
                [b'#', ..] if is_mysql => {
                    self.take_while(|byte| byte != b'\n');
                }
                [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] if is_mysql => return,
                [b'/', b'*', behind @ ..] if is_mysql => {
                    let end = memchr::memmem::find(behind, b"*/").map_or(self.rest.len(), |end| end + 4);
                    self.take(end);
                }
                [b'-', b'-', ..] if !is_mysql => {
                    self.take_while(|byte| !matches!(byte, b'\n' | b'\r'));
                }
                [b'/', b'*', ..] => self.skip_nested_comment(),
                [byte, ..] if is_space(*byte) => {
                    self.take(1);
                }
                _ => return,
            }
            self.spaced = true;
        }
    }

    /// A comment of PostgreSQL: they nest.
    fn skip_nested_comment(&mut self) {
        let mut depth = 0u32;
        loop {
            match self.rest {
                [b'/', b'*', ..] => {
                    depth += 1;
                    self.take(2);
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.take(2);
                    if depth == 0 {
                        return;
                    }
                }
                [] => return,
                _ => {
                    self.take(1);
                }
            }
        }
    }

    /// A comment that some versions of a server take for code: `/*!40101 SET NAMES utf8 */`. It is left out if both ways to
    /// read it end at the same place.
    fn skip_code_comment(&mut self) -> Option<()> {
        let end = memchr::memmem::find(self.rest, b"*/")?;
        let comment = &self.rest[2..end];
        let has_pair = |pair: &[u8]| memchr::memmem::find(comment, pair).is_some();
        if comment.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'`' | b'#')) || has_pair(b"--") || has_pair(b"/*") {
            return None;
        }
        self.take(end + 2);
        Some(())
    }

    /// From behind the first quote on. `has_escapes`: whether `\` escapes what follows it, if that is known.
    fn string(&mut self, quote: u8, has_escapes: Option<bool>) -> Token<'a> {
        let bytes = self.rest;
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(next) = rest.iter().position(|&byte| byte == quote || byte == b'\\') else {
                return self.give_up();
            };
            at += next;
            let behind = bytes.get(at + 1);
            let is_escape = bytes[at] == b'\\' && has_escapes != Some(false);
            // In some encodings that MySQL has, a character may end with the byte of a backslash.
            if is_escape && self.is_mysql() && at > 0 && !bytes[at - 1].is_ascii() {
                return self.give_up();
            }
            at += match (bytes[at], behind) {
                // Whether this quote ends the string is a setting of the server.
                (b'\\', Some(behind)) if is_escape && has_escapes.is_none() && *behind == quote => {
                    return self.give_up();
                }
                (b'\\', Some(behind)) if is_escape && (has_escapes.is_some() || *behind == b'\\') => 2,
                (b'\\', _) => 1,
                (_, Some(behind)) if *behind == quote => 2,
                _ => break,
            };
        }
        self.take(at + 1);
        Token::Literal
    }

    /// Whether `\` escapes in a string without a prefix.
    fn has_escapes(&self) -> Option<bool> {
        match self.dialect {
            Dialect::Postgresql => None,
            Dialect::Mysql { has_escapes } => has_escapes,
        }
    }

    /// A name in quotes, from behind the first on.
    fn quoted(&mut self, quote: u8) -> Token<'a> {
        let mut length = 0;
        loop {
            let Some(at) = self.rest[length..].iter().position(|&byte| byte == quote) else {
                return self.give_up();
            };
            length += at;
            if self.rest.get(length + 1) != Some(&quote) {
                break;
            }
            length += 2;
        }
        let name = self.take(length);
        // The quote may be the end of a character in some encodings.
        if name.contains(&b'\\') || (quote == b'`' && name.last().is_some_and(|byte| !byte.is_ascii())) {
            return self.give_up();
        }
        self.take(1);
        let is_name = |byte: &u8| is_word(*byte) || matches!(byte, b'.' | b'-' | b' ');
        let is_shown = name.len() <= NAME_MAX && name.iter().all(is_name);
        if is_shown { Token::Quoted(name, quote) } else { Token::Literal }
    }

    /// What begins with `$`: a parameter, or a string between two equal tags.
    fn dollar(&mut self) -> Token<'a> {
        let is_tag = |byte: u8| is_word(byte) && byte != b'$';
        let name = self.rest[1..].iter().position(|&byte| !is_tag(byte)).unwrap_or(self.rest.len() - 1);
        let (digits, end) = (&self.rest[1..=name], name + 1);
        if self.rest.get(end) == Some(&b'$') && !digits.first().is_some_and(u8::is_ascii_digit) {
            let tag = self.take(end + 1);
            let Some(at) = memchr::memmem::find(self.rest, tag) else { return self.give_up() };
            self.take(at + tag.len());
            return Token::Literal;
        }
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            return Token::Parameter(self.take(end));
        }
        self.give_up()
    }

    fn number(&mut self) -> Token<'a> {
        loop {
            let digits = self.take_while(|byte| is_word(byte) || byte == b'.');
            let is_exponent = digits.ends_with(b"e") || digits.ends_with(b"E");
            if is_exponent && matches!(self.rest, [b'+' | b'-', b'0'..=b'9', ..]) {
                self.take(1);
                continue;
            }
            return Token::Literal;
        }
    }
}

/// No name is longer, in bytes: `NAMEDATALEN` of PostgreSQL is 64, and names may be cut in other databases later.
const NAME_MAX: usize = 128;

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.spaced = false;
        self.skip_space();
        let is_mysql = self.is_mysql();
        while is_mysql && self.rest.starts_with(b"/*") {
            if self.skip_code_comment().is_none() {
                return Some(self.give_up());
            }
            self.spaced = true;
            self.skip_space();
        }
        Some(match *self.rest {
            [] => return None,
            [quote @ (b'\'' | b'"'), ..] if quote == b'\'' || is_mysql => {
                self.take(1);
                self.string(quote, self.has_escapes())
            }
            [quote @ (b'"' | b'`'), ..] if quote == b'"' || is_mysql => {
                self.take(1);
                self.quoted(quote)
            }
            [b'$', ..] => self.dollar(),
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => self.number(),
            [first, ..] if is_word(first) => {
                let word = self.take_while(is_word);
                match self.rest {
                    // The string has a prefix.
                    [quote @ b'\'', ..] => {
                        let is_escaped = !is_mysql && word.eq_ignore_ascii_case(b"e");
                        self.take(1);
                        self.string(*quote, if is_escaped { Some(true) } else { self.has_escapes() })
                    }
                    // A name in PostgreSQL, the beginning of a string perhaps elsewhere.
                    _ if word.contains(&b'$') => self.give_up(),
                    _ if word.len() > NAME_MAX => Token::Literal,
                    _ => Token::Word(word),
                }
            }
            [first, ..] => {
                self.take(1);
                Token::Symbol(first)
            }
        })
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control()
}

/// Of a word; its first byte is no digit and no `$`.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}
