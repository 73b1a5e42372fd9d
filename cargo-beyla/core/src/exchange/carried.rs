//! Gives what a connection carries, in TLS or not, to its protocol.

use crate::model::tls::Tls;
use crate::model::tls_summary::{HandshakeFailure, Unreadable};
use crate::protocol::detect::Detector;
use crate::protocol::message::{Messages, Shared};
use crate::transport::segment::{Direction, Segment};
use crate::transport::tls::carried::Carried;
use crate::transport::tls::keys::Keys;

/// What all connections of a run read with.
#[derive(Debug, Default)]
pub(super) struct Readers {
    pub(super) shared: Shared,
    pub(super) keys: Keys,
}

/// What a connection says of TLS, in addition to the messages of its protocol.
pub(super) trait TlsMessages: Messages {
    /// The reader of the protocol is about to be given plaintext.
    fn about_to_read(&mut self, _protocol: &Detector) {}

    /// As [`Carried::speaks_tls`].
    fn speaks_tls(&mut self);

    /// As [`Carried::secured`].
    fn secured(&mut self, secured_ns: u64, handshake_ns: Option<u64>);

    /// As [`Carried::begins`].
    fn begins(&mut self, tls: &Tls);

    /// As [`Carried::unreadable`].
    fn unreadable(&mut self, reason: Unreadable);

    /// As [`Carried::sealed`].
    fn sealed(&mut self, segment: &Segment<'_>, protocol: &mut Detector, shared: &mut Shared);

    /// As [`Carried::failed`].
    fn failed(&mut self, failure: HandshakeFailure, time_ns: Option<u64>);
}

/// One connection's.
pub(super) struct Carrier<'a, M> {
    pub(super) protocol: &'a mut Detector,
    pub(super) shared: &'a mut Shared,
    pub(super) messages: M,
}

impl<M: TlsMessages> Carried for Carrier<'_, M> {
    fn plaintext(&mut self, segment: &Segment<'_>) {
        self.messages.about_to_read(self.protocol);
        self.protocol.segment(segment, self.shared, &mut self.messages);
    }

    fn gap(&mut self, direction: Direction, length: u64) {
        self.messages.about_to_read(self.protocol);
        self.protocol.gap(direction, length, &mut self.messages);
    }

    fn speaks_tls(&mut self) {
        self.messages.speaks_tls();
    }

    fn secured(&mut self, secured_ns: u64, handshake_ns: Option<u64>) {
        self.messages.secured(secured_ns, handshake_ns);
    }

    fn begins(&mut self, tls: &Tls) {
        self.messages.begins(tls);
    }

    fn unreadable(&mut self, reason: Unreadable) {
        self.messages.unreadable(reason);
    }

    fn sealed(&mut self, segment: &Segment<'_>) {
        self.messages.sealed(segment, self.protocol, self.shared);
    }

    fn failed(&mut self, failure: HandshakeFailure, time_ns: Option<u64>) {
        self.messages.failed(failure, time_ns);
    }
}
