//! What a connection carries, with TLS or without.

use crate::model::tls::Tls;
use crate::model::tls_summary::{HandshakeFailure, Unreadable};
use crate::transport::segment::{Direction, Segment};

/// Takes what a connection carries.
pub trait Carried {
    /// The plaintext that moved. Its offsets count what is not sealed alone; its times are those of the calls that moved
    /// the record that holds it.
    fn plaintext(&mut self, segment: &Segment<'_>);

    /// Bytes of the plaintext moved, and nobody knows what they were.
    fn gap(&mut self, direction: Direction, length: u64);

    /// The connection speaks TLS: the server has answered so, or it is over.
    fn speaks_tls(&mut self);

    /// The handshake is over at `secured_ns`, in nanoseconds, after this time, if its beginning was seen.
    fn secured(&mut self, secured_ns: u64, handshake_ns: Option<u64>);

    /// The connection can be read: plaintext follows.
    fn begins(&mut self, tls: &Tls);

    /// The connection cannot be read.
    fn unreadable(&mut self, reason: Unreadable);

    /// A call moved bytes of a connection that cannot be read.
    fn sealed(&mut self, segment: &Segment<'_>);

    /// The handshake has failed, by an alert that moved at this time, in nanoseconds, or because the connection is over.
    fn failed(&mut self, failure: HandshakeFailure, time_ns: Option<u64>);
}
