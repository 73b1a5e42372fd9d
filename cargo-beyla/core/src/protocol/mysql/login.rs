//! The beginning of a connection: section "Connection Phase".

use super::Mysql;
use super::answer::{self, Ending};
use super::packet::{HEAD, Head, Packet, Reader};
use super::query::Query;
use crate::model::call::CallKind;
use crate::protocol::candidate::Likeness;
use crate::protocol::message::Messages;
use crate::protocol::pipeline::Start;
use crate::protocol::tcp::Tcp;
use crate::transport::segment::Direction;

/// The first byte of a greeting: the version of the protocol.
const VERSION: u8 = 10;

/// Longer than any greeting, in bytes.
const GREETING_MAX: u32 = 512;

/// How many bytes of a greeting are looked at.
pub(super) const GREETING_KEPT: usize = 256;

/// How many bytes of a client's login are looked at. What stands behind them is the user's.
pub(super) const LOGIN_KEPT: usize = 32;

/// The length of a request to go on in TLS. With more behind it, it is a login.
const TLS_REQUEST: u32 = 32;

/// How far the connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// The client has not asked to log in.
    Begun {
        /// What the server can do.
        server: Capabilities,
        /// Where its first byte was, if it has asked for TLS.
        start: Option<Start>,
    },
    /// The client has asked for it.
    Asked {
        /// What both ends can do.
        both: Capabilities,
        start: Start,
        /// Return of the call that moved its last byte, in nanoseconds.
        sent_ns: u64,
    },
    Done,
}

impl Login {
    pub(super) const BEGUN: Self = Self::Begun { server: Capabilities(u32::MAX), start: None };
}

/// What an end can do: "Capabilities Flags".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities(u32);

impl Capabilities {
    const COMPRESS: Self = Self(1 << 5);
    const PROTOCOL_41: Self = Self(1 << 9);
    const TLS: Self = Self(1 << 11);
    const DEPRECATE_EOF: Self = Self(1 << 24);
    const OPTIONAL_DESCRIPTIONS: Self = Self(1 << 25);
    const ZSTD: Self = Self(1 << 26);

    fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    /// Whether what follows the login can be read.
    fn is_readable(self) -> bool {
        let others = [Self::COMPRESS, Self::ZSTD, Self::OPTIONAL_DESCRIPTIONS];
        self.has(Self::PROTOCOL_41) && !others.into_iter().any(|other| self.has(other))
    }
}

/// How much bytes are like the first packet of a server: a greeting, or an error.
pub(super) fn greeting_likeness(bytes: &[u8]) -> Likeness {
    let Some((head, payload)) = bytes.split_first_chunk::<HEAD>() else {
        let is_short = bytes.get(2).is_none_or(|high| *high == 0) && bytes.get(1).is_none_or(|middle| *middle <= 2);
        return if is_short { Likeness::Partial } else { Likeness::None };
    };
    let Head { length, sequence } = Head::parse(*head);
    if sequence != 0 || !(4..=GREETING_MAX).contains(&length) {
        return Likeness::None;
    }
    match payload {
        [] | [VERSION | answer::ERROR] | [answer::ERROR, _] => Likeness::Partial,
        // The version of the server begins with a number.
        [VERSION, b'1'..=b'9', ..] => Likeness::Whole,
        // Too many connections, a host that is not allowed, and others: all from 1000 on.
        [answer::ERROR, low, high, ..] if (1000..8000).contains(&u16::from_le_bytes([*low, *high])) => Likeness::Whole,
        _ => Likeness::None,
    }
}

/// What a server can do, as its greeting says.
fn capabilities(greeting: &[u8]) -> Option<Capabilities> {
    let mut reader = Reader(greeting);
    reader.byte()?;
    reader.skip_text()?;
    // The connection's number, the first part of a challenge, and a zero.
    reader.take(4 + 8 + 1)?;
    let low = reader.u16()?;
    let _encoding_and_status = reader.take(1 + 2)?;
    let high = reader.u16()?;
    Some(Capabilities(u32::from(high) << 16 | u32::from(low)))
}

impl Mysql {
    /// A client's packet before it is logged in.
    pub(super) fn client_logs_in(&mut self, packet: &Packet<'_>) {
        let Login::Begun { server, start } = self.login else { return };
        let start = start.unwrap_or(packet.start);
        let Some(flags) = Reader(packet.payload).u32().map(Capabilities) else {
            self.login = Login::Begun { server, start: Some(start) };
            return;
        };
        self.login = if packet.head.length == TLS_REQUEST && flags.has(Capabilities::TLS) {
            // What follows comes out of TLS, or is never read.
            Login::Begun { server, start: Some(start) }
        } else {
            let both = Capabilities(flags.0 & server.0);
            Login::Asked { both, start, sent_ns: packet.end_ns.unwrap_or(start.begin_ns) }
        };
    }

    /// A server's packet before the client is logged in.
    pub(super) fn server_logs_in(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        match (packet.payload.first(), self.login) {
            (Some(&answer::ERROR), Login::Begun { start, .. }) => {
                self.login_failed(packet, start.unwrap_or(packet.start), None, messages);
            }
            (Some(&answer::ERROR), Login::Asked { start, sent_ns, .. }) => {
                self.login_failed(packet, start, Some(sent_ns), messages);
            }
            (Some(&VERSION), Login::Begun { start: None, .. }) => {
                if let Some(server) = capabilities(packet.payload) {
                    self.login = Login::Begun { server, start: None };
                }
            }
            (Some(&answer::OK), Login::Asked { both, .. }) => {
                self.login = Login::Done;
                let ending = Ending::parse(packet.payload, packet.head.length);
                self.has_escapes = ending.map(Ending::has_escapes);
                self.has_separators = Some(!both.has(Capabilities::DEPRECATE_EOF));
                if let Some(end_ns) = packet.end_ns {
                    messages.ready(end_ns);
                }
                if !both.is_readable() {
                    self.turns = Some(Tcp::default());
                }
            }
            // Another step of the login.
            _ => {}
        }
    }

    /// Nothing else says that there is no connection.
    fn login_failed(&mut self, packet: &Packet<'_>, start: Start, sent_ns: Option<u64>, messages: &mut dyn Messages) {
        self.login = Login::Done;
        self.pipeline.push(start, Query::default());
        self.pipeline.announce(0, (CallKind::Mysql, "CONNECT", None), messages);
        if let Some(front) = self.pipeline.front() {
            front.ending.error = answer::error_code(packet.payload);
            front.respond(packet.start, sent_ns, messages);
            front.count(Direction::Response, packet.size());
        }
        self.pipeline.end_front(packet.end_ns, messages);
    }
}
