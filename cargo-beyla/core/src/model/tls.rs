//! TLS of a connection: what its handshake agreed on, how that failed, and why what follows cannot be read.

use std::fmt;
use std::sync::Arc;

use crate::model::connection::{Party, Role};

/// What is known of a connection over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The version that the ends agreed on; `None` if that was not seen.
    pub version: Option<Version>,
    /// The cipher suite that they agreed on; `None` if that was not seen.
    pub cipher: Option<CipherSuite>,
    /// The library in which the traced process set up the keys; `None` where no key is known.
    pub library: Option<&'static str>,
    /// The application protocol that they agreed on: RFC 7301.
    pub alpn: Option<Arc<str>>,
    /// The host that the client asked for: RFC 6066, section 3.
    pub server_name: Option<Arc<str>>,
    /// Whether they took up an earlier session, without a certificate; `None` if that was not seen.
    pub is_resumed: Option<bool>,
    /// From the first byte of the client's first message until the connection was secured, in nanoseconds.
    pub handshake_ns: Option<u64>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u16);

impl Version {
    /// RFC 5246.
    pub const TLS_1_2: Self = Self(0x0303);
    /// RFC 8446.
    pub const TLS_1_3: Self = Self(0x0304);
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number @ 0x0301..=0x0304 => write!(formatter, "1.{}", number - 0x0301),
            number => write!(formatter, "{number:#06x}"),
        }
    }
}

/// A cipher suite, by its number in IANA's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CipherSuite(pub u16);

/// How a cipher suite seals records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sealing {
    /// AES in Galois/Counter Mode.
    AesGcm {
        /// Bytes of its keys.
        key_length: usize,
    },
    /// `ChaCha20-Poly1305`.
    ChaCha20,
    /// Another way.
    Other,
}

/// The suites that servers and clients of today agree on.
const SUITES: &[(u16, &str, Sealing)] = &[
    (0x1301, "TLS_AES_128_GCM_SHA256", GCM_128),
    (0x1302, "TLS_AES_256_GCM_SHA384", GCM_256),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256", Sealing::ChaCha20),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", GCM_128),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", GCM_256),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", GCM_128),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", GCM_256),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Sealing::ChaCha20),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Sealing::ChaCha20),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", GCM_128),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", GCM_256),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", GCM_128),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", GCM_256),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Sealing::ChaCha20),
];

const GCM_128: Sealing = Sealing::AesGcm { key_length: 16 };
const GCM_256: Sealing = Sealing::AesGcm { key_length: 32 };

impl CipherSuite {
    /// How it seals records.
    pub fn sealing(self) -> Sealing {
        self.known().map_or(Sealing::Other, |(_, _, sealing)| *sealing)
    }

    fn known(self) -> Option<&'static (u16, &'static str, Sealing)> {
        SUITES.iter().find(|(number, _, _)| *number == self.0)
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((_, name, _)) => formatter.write_str(name),
            None => write!(formatter, "{:#06x}", self.0),
        }
    }
}

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

/// What an end says before it closes a connection: RFC 8446, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alert(pub u8);

impl Alert {
    /// Its name as the RFC has it.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "alert {}", self.0),
        }
    }
}

/// What a run saw of TLS beside requests and calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSummary {
    /// Connections over TLS that the process accepted, and those that it opened.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_suites_have_their_names() {
        assert_eq!(
            [Version::TLS_1_2, Version::TLS_1_3, Version(0x0305)].map(|of| of.to_string()),
            ["1.2", "1.3", "0x0305"]
        );
        assert_eq!(CipherSuite(0x1302).to_string(), "TLS_AES_256_GCM_SHA384");
        assert_eq!(CipherSuite(0xc013).to_string(), "0xc013");
        assert_eq!(CipherSuite(0xc02f).sealing(), Sealing::AesGcm { key_length: 16 });
        assert_eq!(CipherSuite(0xc013).sealing(), Sealing::Other);
    }
}
