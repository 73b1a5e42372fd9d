//! What the helper says first, before anything is asked of it: a line with its version, and how it stands.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::VERSION;
use super::requirements::facts::Facts;

/// Sources of the kernel side, whose records both sides must understand alike.
const RECORDS: &str = include_str!("../../bytecode/DIGEST");

/// The most bytes of a greeting.
const LENGTH_MAX: usize = 16 * 1024;

/// The line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Of the package.
    version: String,
    /// Of the records that the kernel makes.
    records: String,
    /// What the privileged process sees.
    pub facts: Facts,
    /// Whether file descriptors can be sent to where it says this.
    pub on_socket: bool,
}

impl Greeting {
    /// That of this program.
    pub fn of(facts: Facts, on_socket: bool) -> Self {
        Self { version: VERSION.to_owned(), records: RECORDS.to_owned(), facts, on_socket }
    }

    /// Whether the other side is of the same build.
    pub fn is_of_this_build(&self) -> bool {
        (self.version.as_str(), self.records.as_str()) == (VERSION, RECORDS)
    }

    /// Says it.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn send(&self, mut to: impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }

    /// Waits for it, and takes not a byte more; `None` if something else comes, or nothing.
    ///
    /// # Errors
    /// If it could not be read.
    pub fn receive(mut from: impl Read) -> io::Result<Option<Self>> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while line.len() < LENGTH_MAX {
            match from.read_exact(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            if byte == *b"\n" {
                return Ok(serde_json::from_slice(&line).ok());
            }
            line.extend(byte);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_what_follows_is_left() {
        let mut said = Vec::new();
        Greeting::of(Facts::gather(), true).send(&mut said).expect("memory");
        said.extend_from_slice(b"more");
        let mut rest = &said[..];
        let heard = Greeting::receive(&mut rest).expect("memory").expect("a greeting");
        assert!(heard.is_of_this_build());
        assert_eq!(rest, b"more");
        assert!(!Greeting { version: "0.0.0".into(), ..heard }.is_of_this_build());
        for other in [&b""[..], b"no line", b"usage: sudo ...\n"] {
            assert_eq!(Greeting::receive(other).expect("memory"), None);
        }
    }
}
