//! Bytes -> tokens, by the lexical rules of PostgreSQL.

/// A part of a statement that stands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, or a name without quotes.
    Word(&'a [u8]),
    /// A name in double quotes: what stands between them.
    Quoted(&'a [u8]),
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
    rest: &'a [u8],
    /// Whether white space or a comment stood before the last token.
    spaced: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a [u8]) -> Self {
        Self { rest: sql, spaced: false }
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
        loop {
            match self.rest {
                [b'-', b'-', ..] => {
                    self.take_while(|byte| !matches!(byte, b'\n' | b'\r'));
                }
                [b'/', b'*', ..] => self.skip_comment(),
                [byte, ..] if byte.is_ascii_whitespace() || byte.is_ascii_control() => {
                    self.take(1);
                }
                _ => return,
            }
            self.spaced = true;
        }
    }

    /// Comments nest.
    fn skip_comment(&mut self) {
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

    /// From behind the first quote on.
    fn string(&mut self, has_escapes: bool) -> Token<'a> {
        loop {
            let Some(at) = self.rest.iter().position(|byte| matches!(byte, b'\'' | b'\\')) else {
                return self.give_up();
            };
            self.take(at);
            match self.rest {
                [b'\\', _, ..] if has_escapes => self.take(2),
                // Whether this quote ends the string is a setting of the server.
                [b'\\', b'\'', ..] => return self.give_up(),
                [b'\\', b'\\', ..] | [b'\'', b'\'', ..] => self.take(2),
                [b'\'', ..] => {
                    self.take(1);
                    return Token::Literal;
                }
                _ => self.take(1),
            };
        }
    }

    /// A name in double quotes, from behind the first on.
    fn quoted(&mut self) -> Token<'a> {
        let mut length = 0;
        loop {
            let Some(at) = self.rest[length..].iter().position(|&byte| byte == b'"') else {
                return self.give_up();
            };
            length += at;
            if self.rest.get(length + 1) != Some(&b'"') {
                break;
            }
            length += 2;
        }
        let name = self.take(length);
        if name.contains(&b'\\') {
            return self.give_up();
        }
        self.take(1);
        let is_name = |byte: &u8| is_word(*byte) || matches!(byte, b'.' | b'-' | b' ');
        if name.len() <= NAME_MAX && name.iter().all(is_name) { Token::Quoted(name) } else { Token::Literal }
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
        Some(match *self.rest {
            [] => return None,
            [b'\'', ..] => {
                self.take(1);
                self.string(false)
            }
            [b'"', ..] => {
                self.take(1);
                self.quoted()
            }
            [b'$', ..] => self.dollar(),
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => self.number(),
            [first, ..] if is_word(first) => {
                let word = self.take_while(is_word);
                match self.rest {
                    // The string has a prefix.
                    [b'\'', ..] => {
                        self.take(1);
                        self.string(word.eq_ignore_ascii_case(b"e"))
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

/// Of a word; its first byte is no digit and no `$`.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}
