//! What a protocol tells of itself, so that its connections can be recognised.

use super::message::{Protocol, Upgrade};
use super::pipeline::Start;
use crate::transport::segment::Direction;

/// A protocol that a connection may speak.
#[derive(Debug)]
pub struct Candidate {
    /// How much the first bytes of a connection in one direction are like those of this protocol.
    pub begins: fn(Direction, &[u8]) -> Likeness,
    /// Whether these bytes, with which an operation begins on a connection that was met in its midst, can only be this
    /// protocol's.
    pub resumes: fn(Direction, &[u8]) -> bool,
    /// Its token in `Upgrade` fields of HTTP/1, if a connection may come to it so.
    pub token: Option<&'static str>,
    /// A reader of one connection.
    pub open: fn(&Beginning<'_>) -> Box<dyn Protocol>,
}

/// How much bytes are like the beginning of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// They are not.
    None,
    /// They are too few to tell.
    Partial,
    /// They are.
    Whole,
}

/// Where in a connection a reader begins.
#[derive(Clone, Copy, Debug)]
pub enum Beginning<'a> {
    /// With its first byte.
    First {
        /// These bytes of whoever speaks first came in earlier operations and are not given again: they are part of what
        /// the protocol is recognised by.
        held: &'a [u8],
        /// Where the first byte of the connection began: the first of `held`, or if that is empty, the first that comes now.
        start: Option<Start>,
    },
    /// In its midst: nothing is known of what came before.
    Midst,
    /// Where HTTP/1 hands it over.
    Upgraded(&'a Upgrade),
}

/// How much bytes are like a fixed beginning.
pub fn likeness(bytes: &[u8], start: &[u8]) -> Likeness {
    let length = bytes.len().min(start.len());
    match bytes[..length] == start[..length] {
        true if length == start.len() => Likeness::Whole,
        true => Likeness::Partial,
        false => Likeness::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_like_a_beginning_as_far_as_both_go() {
        for (bytes, expected) in [
            (&b""[..], Likeness::Partial),
            (b"PR", Likeness::Partial),
            (b"PRI", Likeness::Whole),
            (b"PRI *", Likeness::Whole),
            (b"PX", Likeness::None),
        ] {
            assert_eq!(likeness(bytes, b"PRI"), expected, "{bytes:?}");
        }
    }
}
