//! What the handshake of a connection agrees on, when it is over, and whether it fails.

use super::carried::Carried;
use super::hello::{ClientHello, ServerHello, chosen_protocol};
use super::messages::{CLIENT_HELLO, ENCRYPTED_EXTENSIONS, FINISHED, SERVER_HELLO};
use super::open::Form;
use super::record::Times;
use crate::model::connection::{Party, Role};
use crate::model::tls::{Alert, CipherSuite, Sealing, Tls, Version};
use crate::model::tls_summary::HandshakeFailure;
use crate::transport::segment::Direction;

/// The level of an alert that ends the connection (RFC 5246, section 7.2); in TLS 1.3 it says nothing.
const FATAL: u8 = 2;

/// Alerts that are no failures: RFC 8446, section 6.1.
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

/// One connection's.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    role: Role,
    tls: Tls,
    /// Whether the client may send data before the handshake is over.
    has_early_data: bool,
    /// The session that the client wants to take up.
    session: Box<[u8]>,
    /// The client's first byte, in nanoseconds.
    started_ns: Option<u64>,
    /// When the client's and the server's last message had moved, in nanoseconds.
    finished_ns: [Option<u64>; 2],
    /// When it was over, in nanoseconds.
    secured_ns: Option<u64>,
    /// Whether anything has been told of what the application says.
    has_begun: bool,
    has_failed: bool,
}

impl Handshake {
    pub(super) fn new(role: Role) -> Self {
        Self { role, ..Self::default() }
    }

    /// How records are sealed, if the server has said it.
    pub(super) fn form(&self) -> Option<Form> {
        match self.tls.version? {
            Version::TLS_1_3 => Some(Form::Tls13),
            _ => Some(Form::Tls12),
        }
    }

    /// The same by the cipher suite.
    pub(super) fn sealing(&self) -> Option<Sealing> {
        self.tls.cipher.map(CipherSuite::sealing)
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The client's or the server's message is whole.
    pub(super) fn message(
        &mut self,
        direction: Direction,
        (kind, body): (u8, &[u8]),
        times: Times,
        to: &mut dyn Carried,
    ) {
        match (direction, kind) {
            (Direction::Request, CLIENT_HELLO) => {
                self.started_ns.get_or_insert(times.arrived_ns.unwrap_or(times.begin_ns));
                if let Some(hello) = ClientHello::parse(body) {
                    self.tls.server_name = hello.server_name;
                    self.has_early_data = hello.has_early_data;
                    self.session = hello.session;
                }
            }
            (Direction::Response, SERVER_HELLO) => {
                if let Some(hello) = ServerHello::parse(body) {
                    if hello.is_retry {
                        // The client's next hello comes behind a change of the cipher that means nothing.
                        self.tls.version = Some(hello.version);
                        return;
                    }
                    let is_same = !hello.session.is_empty() && hello.session == self.session;
                    let takes_session = if hello.version == Version::TLS_1_3 { hello.takes_key } else { is_same };
                    self.tls.version = Some(hello.version);
                    self.tls.cipher = Some(hello.cipher);
                    self.tls.is_resumed = Some(takes_session);
                    self.tls.alpn = hello.alpn;
                }
            }
            (Direction::Response, ENCRYPTED_EXTENSIONS) => self.tls.alpn = chosen_protocol(body),
            (_, FINISHED) => self.finished(direction, times.end_ns, to),
            _ => {}
        }
    }

    /// The last message of an end has moved.
    pub(super) fn finished(&mut self, direction: Direction, end_ns: u64, to: &mut dyn Carried) {
        self.finished_ns[direction as usize].get_or_insert(end_ns);
        let [client, server] = self.finished_ns;
        let secured_ns = match self.form() {
            // The server's came before.
            Some(Form::Tls13) => client,
            _ => client.zip(server).map(|(client, server)| client.max(server)),
        };
        if let Some(secured_ns) = secured_ns {
            self.secured(secured_ns, to);
        }
    }

    /// The connection is secured.
    pub(super) fn secured(&mut self, secured_ns: u64, to: &mut dyn Carried) {
        if self.secured_ns.is_some() {
            return;
        }
        self.secured_ns = Some(secured_ns);
        self.tls.handshake_ns = self.started_ns.and_then(|started_ns| secured_ns.checked_sub(started_ns));
        to.secured(secured_ns, self.tls.handshake_ns);
    }

    /// A key of so many bytes, which this library has set up, has proved that it seals records of this form. That says as
    /// much of the handshake where the server's hello was lost, or is still to come.
    pub(super) fn opened_by(&mut self, library: Option<&'static str>, form: Form, key_length: usize) {
        self.tls.library = self.tls.library.or(library);
        let (version, cipher) = match form {
            Form::Tls13 => (Version::TLS_1_3, CipherSuite::gcm_of_1_3(key_length)),
            // AES-GCM came with TLS 1.2 (RFC 5288, section 4), in many suites.
            Form::Tls12 => (Version::TLS_1_2, None),
        };
        self.tls.version.get_or_insert(version);
        self.tls.cipher = self.tls.cipher.or(cipher);
    }

    /// What the application says begins, or goes on.
    pub(super) fn begins(&mut self, to: &mut dyn Carried) {
        if !std::mem::replace(&mut self.has_begun, true) {
            if self.has_early_data {
                // The server's hello is still to come, if it did not say. A client may send data before it only if it
                // resumes a session: RFC 8446, section 2.3.
                self.tls.is_resumed.get_or_insert(true);
            }
            to.begins(&self.tls);
        }
    }

    /// Whether data may come in this direction before the handshake is over.
    pub(super) fn has_early_data(&self, direction: Direction) -> bool {
        self.has_early_data && direction == Direction::Request
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// An end says that something is wrong, or that it sends no more.
    pub(super) fn alert(&mut self, direction: Direction, alert: &[u8], times: Times, to: &mut dyn Carried) {
        let &[level, alert] = alert else { return };
        let is_end = matches!(alert, CLOSE_NOTIFY | USER_CANCELED);
        let is_fatal = !is_end && (level == FATAL || self.form() == Some(Form::Tls13));
        let by = match direction {
            Direction::Request => Party::Client,
            Direction::Response => Party::Server,
        };
        if is_fatal && !self.has_begun {
            self.fail(by, Some(Alert(alert)), Some(times.end_ns), to);
        }
    }

    /// The connection is over; `by` has closed it.
    pub(super) fn closed(&mut self, by: Party, to: &mut dyn Carried) {
        if self.secured_ns.is_none() && !self.has_begun {
            self.fail(by, None, None, to);
        }
    }

    fn fail(&mut self, by: Party, alert: Option<Alert>, time_ns: Option<u64>, to: &mut dyn Carried) {
        if !std::mem::replace(&mut self.has_failed, true) {
            to.failed(HandshakeFailure { role: self.role, by, alert }, time_ns);
        }
    }
}
