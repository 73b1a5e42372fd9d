//! TLS of a connection: what its handshake agreed on.

use std::fmt;
use std::sync::Arc;

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
    /// The one with ChaCha20-Poly1305 in TLS 1.3, whose suites clients list apart from those of TLS 1.2.
    pub const CHACHA20_OF_1_3: Self = Self(0x1303);

    /// The one of TLS 1.3 with AES-GCM and keys of so many bytes: RFC 8446, appendix B.4, has one for each length.
    pub fn gcm_of_1_3(key_length: usize) -> Option<Self> {
        match key_length {
            16 => Some(Self(0x1301)),
            32 => Some(Self(0x1302)),
            _ => None,
        }
    }

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
