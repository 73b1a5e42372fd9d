//! TLS of a run: handshakes, how they failed, and why what follows cannot be read.

use crate::model::connection::{Party, Role};
use crate::model::tls::{Alert, CipherSuite};

/// Why what a connection carries cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unreadable {
    /// No key of any library was seen in the process.
    NoKeySeen,
    /// Keys were seen in the process, and none of them is this connection's.
    KeyNotFound,
    /// The cipher suite is one whose records do not tell their nonces.
    Cipher(CipherSuite),
    /// The connection was open before anybody watched, and its keys were set up.
    OpenBefore,
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandshakeFailure {
    /// Which end the traced process is.
    pub role: Role,
    /// Who said so, or closed the connection if nobody did.
    pub by: Party,
    /// The alert, by its number in IANA's registry; `None` if there was none, or it could not be read.
    pub alert: Option<Alert>,
}

/// What a run saw of TLS beside requests and calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSummary {
    /// How many connections over TLS the process accepted, and how many it opened.
    pub connections: [u64; 2],
    /// The handshakes that succeeded, in the same order.
    pub handshakes: [Durations; 2],
    /// The handshakes that failed, by their cause; the most frequent comes first.
    pub failed: Vec<(HandshakeFailure, u64)>,
    /// The connections that could not be read, by the reason.
    pub unread: Vec<UnreadConnections>,
}

/// Connections over TLS that could not be read for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadConnections {
    /// Which end the traced process is.
    pub role: Role,
    /// Why.
    pub reason: Unreadable,
    /// How many there are.
    pub count: u64,
    /// Bytes that the clients have sent, and the servers, with what TLS adds to them.
    pub bytes: [u64; 2],
    /// The turns: what a client sends before the server answers, and the answer. From the arrival of the client's first
    /// byte until the last byte of the answer was sent. Only where the process is the server; elsewhere turns are calls.
    pub turns: Durations,
}

/// How many there are of something that takes time, and how long they took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many.
    pub count: u64,
    /// All of them.
    pub total_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Durations {
    /// One more.
    pub fn add(&mut self, ns: u64) {
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// The mean, if there are any.
    pub fn mean_ns(&self) -> Option<u64> {
        self.total_ns.checked_div(self.count)
    }
}
