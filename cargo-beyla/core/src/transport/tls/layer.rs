//! What lies between the socket and the protocol: nothing, or TLS.

use super::carried::Carried;
use super::connection::TlsConnection;
use super::keys::Keys;
use super::record::{HEADER, content};
use crate::model::connection::{Party, Role};
use crate::transport::segment::{Direction, Segment};

/// A client that has begun in plain text may turn to TLS within this number of calls: PostgreSQL does in its second,
/// others in their second or third.
const TURNS_AFTER_MAX: u8 = 4;

/// The beginning of a record with a client's hello (RFC 8446, sections 4 and 5.1), as far as the versions are fixed.
const CLIENT_HELLO_LENGTH: usize = HEADER + 6;

/// How a record with a handshake begins: RFC 8446, section 5.1.
const HELLO: [u8; 2] = [content::HANDSHAKE, 3];

/// What one connection's bytes are wrapped in.
#[derive(Debug)]
pub struct Layer {
    role: Role,
    /// Whose keys open it.
    process: u32,
    state: State,
    /// The offset behind the last byte of each direction.
    ends: [u64; 2],
}

#[derive(Debug)]
enum State {
    /// The client has not sent anything yet. `was_open` says whether the connection was open before tracing began.
    Undecided {
        was_open: bool,
    },
    /// Plain text. The client may still turn to TLS in one of its next `turns_left` calls.
    Plain {
        turns_left: u8,
    },
    Tls(Box<TlsConnection>),
}

impl Layer {
    /// Of a connection of this process, which is 0 in a run that traces one. `was_open`: before anybody watched.
    pub fn new(role: Role, process: u32, was_open: bool) -> Self {
        Self { role, process, state: State::Undecided { was_open }, ends: [0; 2] }
    }

    /// Whether the connection speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.state, State::Tls(_))
    }

    /// A call of this thread moved bytes.
    pub fn segment(&mut self, segment: &Segment<'_>, thread: u32, keys: &mut Keys, to: &mut dyn Carried) {
        if segment.direction == Direction::Request || matches!(self.state, State::Undecided { was_open: true }) {
            self.client_speaks(segment, to);
        }
        self.ends[segment.direction as usize] = segment.end();
        match &mut self.state {
            State::Tls(tls) => {
                if let Some(hello) = tls.refused(segment) {
                    self.state = State::Plain { turns_left: 0 };
                    for call in &hello {
                        to.plaintext(&call.segment(&HELLO));
                    }
                    to.plaintext(segment);
                } else {
                    tls.segment(segment, thread, keys, to);
                }
            }
            State::Undecided { .. } | State::Plain { .. } => to.plaintext(segment),
        }
    }

    /// Bytes moved without a record.
    pub fn gap(&mut self, direction: Direction, length: u64, keys: &mut Keys, to: &mut dyn Carried) {
        if direction == Direction::Request && matches!(self.state, State::Undecided { was_open: false }) {
            self.state = State::Plain { turns_left: 0 };
        }
        let end = &mut self.ends[direction as usize];
        *end = end.saturating_add(length);
        match &mut self.state {
            State::Tls(tls) => tls.gap(direction, length, keys, to),
            State::Undecided { .. } | State::Plain { .. } => to.gap(direction, length),
        }
    }

    /// A thread of the process has set up a key.
    pub fn key_came(&mut self, thread: u32, keys: &mut Keys, to: &mut dyn Carried) {
        if let State::Tls(tls) = &mut self.state {
            tls.key_came(thread, keys, to);
        }
    }

    /// Nothing follows any more. `closed_by` has closed the connection, if it was.
    pub fn stop(&mut self, closed_by: Option<Party>, keys: &mut Keys, to: &mut dyn Carried) {
        if let State::Tls(tls) = &mut self.state {
            tls.stop(closed_by, keys, to);
        }
    }

    /// Looks whether what the client sends is TLS.
    fn client_speaks(&mut self, segment: &Segment<'_>, to: &mut dyn Carried) {
        let mut starts = self.ends;
        starts[segment.direction as usize] = segment.start;
        let bytes = segment.beginning();
        let begins = |connection| State::Tls(Box::new(connection));
        match &mut self.state {
            State::Undecided { was_open: true } if is_sealed(bytes) => {
                self.state = begins(TlsConnection::joined(self.role, starts, to));
            }
            State::Undecided { .. } if segment.direction == Direction::Request => {
                if HELLO.starts_with(&bytes[..bytes.len().min(HELLO.len())]) && !bytes.is_empty() {
                    self.state = begins(TlsConnection::new(self.role, self.process, starts));
                } else {
                    let turns_left = if self.role == Role::Client { TURNS_AFTER_MAX } else { 0 };
                    self.state = State::Plain { turns_left };
                }
            }
            State::Plain { turns_left } if *turns_left > 0 => {
                *turns_left -= 1;
                if is_client_hello(bytes) {
                    self.state = begins(TlsConnection::new(self.role, self.process, starts));
                }
            }
            State::Undecided { .. } | State::Plain { .. } | State::Tls(_) => {}
        }
    }
}

/// Whether these bytes can only be the beginning of a sealed record.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(&[23, 3, 3]) && bytes.get(3).is_some_and(|length| *length <= 0x48)
}

/// Whether these bytes begin a record that begins with a client's hello.
fn is_client_hello(bytes: &[u8]) -> bool {
    matches!(bytes.first_chunk::<CLIENT_HELLO_LENGTH>(), Some([0x16, 3, 0..=4, _, _, 1, 0, _, _, 3, 1..=3]))
}
