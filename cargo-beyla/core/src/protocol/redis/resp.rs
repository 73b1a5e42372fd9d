//! Bytes -> values of RESP, versions 2 and 3: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! A value is passed over as it comes, in pieces of any length. Its bytes are handed out and not kept.

use crate::protocol::candidate::Likeness;
use crate::protocol::kept::Kept;

/// The longest line that is looked at, in bytes; of a longer one the beginning.
const LINE_MAX: usize = 256;

/// Arrays within arrays that are followed. No answer of a server is deeper than 7, says Redis of its own parser.
const DEPTH_MAX: usize = 32;

/// The longest string: `proto-max-bulk-len` may be set to more than the usual 512 MiB.
const LENGTH_MAX: u64 = 1 << 40;

/// The values of one direction, as they come.
#[derive(Debug)]
pub(super) struct Values {
    state: State,
    line: Kept,
    /// The arrays that are open.
    open: Vec<Level>,
    /// Whether a line that begins with no type is a command: what a client types.
    takes_inline: bool,
    is_ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Type,
    /// In the line behind this type.
    Line(u8),
    /// In a string.
    Bytes {
        left: u64,
    },
    /// In the end of the line behind it.
    End {
        left: u8,
    },
}

/// An array, a map, a set, or what is said beside a value.
#[derive(Clone, Copy, Debug)]
struct Level {
    left: u64,
    is_attribute: bool,
}

/// A step of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Its type: the first byte.
    Type(u8),
    /// The line behind the type is whole, of a value of this type; of a string or an array, also its length, if it is
    /// not null.
    Line(u8, Option<u64>),
    /// Bytes of a string.
    Bytes(&'a [u8]),
    /// A string is whole.
    End,
}

/// It is no RESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The type of a command that is a line.
pub(super) const INLINE: u8 = b'i';

impl Values {
    /// Of a client, if it `takes_inline` commands, or else of a server.
    pub(super) fn new(takes_inline: bool) -> Self {
        Self { state: State::Type, line: Kept::default(), open: Vec::new(), takes_inline, is_ended: false }
    }

    /// The beginning of the last line, without its end.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// How many arrays are open around what comes next.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Whether a value has ended that stands in no array; once.
    pub(super) fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.is_ended)
    }

    /// Reads on, as far as one step; `None` if there is no more input.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Step<'a>>, Broken> {
        loop {
            let Some((&first, rest)) = input.split_first() else { return Ok(None) };
            match &mut self.state {
                State::Type => {
                    self.line.clear();
                    let kind = match first {
                        b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'(' | b'!' | b'=' | b'%' | b'~'
                        | b'>' | b'|' => {
                            *input = rest;
                            first
                        }
                        _ if self.takes_inline && self.open.is_empty() => INLINE,
                        _ => return Err(Broken),
                    };
                    self.state = State::Line(kind);
                    return Ok(Some(Step::Type(kind)));
                }
                State::Line(kind) => {
                    let kind = *kind;
                    let end = memchr::memchr(b'\n', input);
                    let (line, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
                    self.line.add(line, LINE_MAX);
                    *input = rest;
                    if end.is_none() {
                        // The end of the line may not be kept.
                        continue;
                    }
                    while matches!(self.line.last(), Some(b'\r' | b'\n')) {
                        self.line.pop();
                    }
                    return self.end_line(kind).map(Some);
                }
                State::Bytes { left } => {
                    let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                    let (bytes, rest) = input.split_at(length);
                    *input = rest;
                    *left -= length as u64;
                    if *left == 0 {
                        self.state = State::End { left: 2 };
                    }
                    if !bytes.is_empty() {
                        return Ok(Some(Step::Bytes(bytes)));
                    }
                }
                State::End { left } => {
                    if first != if *left == 2 { b'\r' } else { b'\n' } {
                        return Err(Broken);
                    }
                    *input = rest;
                    *left -= 1;
                    if *left == 0 {
                        self.end_value();
                        return Ok(Some(Step::End));
                    }
                }
            }
        }
    }

    /// So many bytes are not known. They may belong to a string; whether that has ended.
    pub(super) fn skip(&mut self, mut length: u64) -> Result<bool, Broken> {
        if let State::Bytes { left } = &mut self.state {
            let skipped = length.min(*left);
            *left -= skipped;
            length -= skipped;
            if *left == 0 {
                self.state = State::End { left: 2 };
            }
        }
        if let State::End { left } = &mut self.state {
            let skipped = length.min((*left).into());
            *left -= skipped as u8;
            length -= skipped;
            if *left == 0 {
                self.end_value();
                return if length == 0 { Ok(true) } else { Err(Broken) };
            }
        }
        if length == 0 { Ok(false) } else { Err(Broken) }
    }

    fn end_line(&mut self, kind: u8) -> Result<Step<'static>, Broken> {
        self.state = State::Type;
        let length = match kind {
            b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' if self.line.as_slice() != b"-1" => {
                let digits = str::from_utf8(&self.line).ok().filter(|line| line.bytes().all(|b| b.is_ascii_digit()));
                Some(digits.and_then(|line| line.parse().ok()).filter(|length| *length <= LENGTH_MAX).ok_or(Broken)?)
            }
            _ => None,
        };
        match (kind, length) {
            (b'$' | b'!' | b'=', Some(length)) => {
                self.state = if length == 0 { State::End { left: 2 } } else { State::Bytes { left: length } };
            }
            (b'|', Some(0)) => {}
            (_, Some(0) | None) => self.end_value(),
            (_, Some(length)) => {
                if self.open.len() >= DEPTH_MAX {
                    return Err(Broken);
                }
                let pairs = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                self.open.push(Level { left: length * pairs, is_attribute: kind == b'|' });
            }
        }
        Ok(Step::Line(kind, length))
    }

    /// A value is whole, and with it perhaps those that it stands in.
    fn end_value(&mut self) {
        self.state = State::Type;
        while let Some(level) = self.open.last_mut() {
            level.left -= 1;
            if level.left > 0 {
                return;
            }
            let is_attribute = level.is_attribute;
            self.open.pop();
            if is_attribute {
                // The value that it belongs to is still to come.
                return;
            }
        }
        self.is_ended = true;
    }
}

/// How much these bytes are like an array of strings, as clients send them.
pub(super) fn command_likeness(bytes: &[u8]) -> Likeness {
    let Some((b'*', rest)) = bytes.split_first() else {
        return if bytes.is_empty() { Likeness::Partial } else { Likeness::None };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = &rest[digits..];
    let is_count = (1..=8).contains(&digits) && rest[0] != b'0';
    match b"\r\n$" {
        _ if rest.is_empty() => Likeness::Partial,
        _ if !is_count => Likeness::None,
        wanted if end.starts_with(wanted) => Likeness::Whole,
        wanted if wanted.starts_with(end) => Likeness::Partial,
        _ => Likeness::None,
    }
}

/// Whether a value may begin here: these bytes are a type and the line behind it, or a part of that.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let mut values = Values::new(false);
    let mut input = bytes;
    let line = loop {
        match values.next(&mut input) {
            Ok(Some(Step::Type(_))) => {}
            Ok(step) => break step,
            Err(Broken) => return false,
        }
    };
    !bytes.is_empty() && matches!(line, None | Some(Step::Line(..)))
}
