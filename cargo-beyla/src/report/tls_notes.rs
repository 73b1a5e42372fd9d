//! What could not be read of TLS, and which handshakes failed, in sentences.

use super::units::{bytes, count, counted, time};
use cargo_beyla_core::model::connection::{Party, Role};
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::model::tls::{Alert, CipherSuite, Sealing};
use cargo_beyla_core::model::tls_summary::{HandshakeFailure, UnreadConnections, Unreadable};

/// The failures that are told; the JSON report has all.
const FAILURES_MAX: usize = 5;

/// A sentence or two for each reason.
pub(super) fn notes(summary: &Summary) -> Vec<String> {
    let tls = &summary.tls;
    let mut notes: Vec<String> = tls.unread.iter().map(unread).collect();
    notes.extend(tls.failed.iter().take(FAILURES_MAX).map(|(failure, count)| failed(*failure, *count)));
    // Those that are not told of above.
    let of = |role| tls.unread.iter().filter(|unread| unread.role == role).map(|unread| unread.count).sum::<u64>();
    let left = summary.unseen.tls_connections.saturating_sub(of(Role::Server));
    if left > 0 {
        notes.push(format!(
            "{} began TLS, and the server answered in plain text, or a proxy's header came first: those requests are \
             missing.",
            counted(left, "connection")
        ));
    }
    notes
}

fn unread(unread: &UnreadConnections) -> String {
    let UnreadConnections { role, reason, count, bytes: [sent, answered], turns } = unread;
    let (of_whom, known) = match (role, turns.mean_ns()) {
        (Role::Client, _) => (
            format!("{} that the server opened", counted(*count, "connection")),
            "of calls on them, times and sizes are all that is known".to_owned(),
        ),
        (Role::Server, Some(mean_ns)) => (
            counted(*count, "connection"),
            format!(
                "those requests are missing. {} in, {} out in {} of {} on average",
                bytes(*sent),
                bytes(*answered),
                counted(turns.count, "turn"),
                time(mean_ns)
            ),
        ),
        (Role::Server, None) => (counted(*count, "connection"), "those requests are missing".to_owned()),
    };
    let (spoke, cure) = match reason {
        Unreadable::NoKeySeen => (
            "spoke TLS by a library whose keys were not seen".to_owned(),
            "What can be read is rustls with aws-lc-rs or ring, OpenSSL and BoringSSL, unless --no-tls is given.",
        ),
        Unreadable::KeyNotFound => (
            "spoke TLS with a key that was not seen".to_owned(),
            "It was set up unseen, or is that of another library. Connect anew.",
        ),
        Unreadable::Cipher(cipher) if cipher.sealing() == Sealing::ChaCha20 => (
            format!("agreed on {cipher}, which is not read"),
            match *cipher {
                CipherSuite::CHACHA20_OF_1_3 => {
                    "Have the client ask for AES-GCM, as `curl --tls13-ciphers TLS_AES_128_GCM_SHA256` does."
                }
                _ => "Have the client ask for AES-GCM, as `curl --ciphers ECDHE+AESGCM` does.",
            },
        ),
        Unreadable::Cipher(cipher) => {
            (format!("agreed on the cipher suite {cipher}, which is not read"), "Have both ends use AES-GCM.")
        }
        Unreadable::OpenBefore => {
            ("spoke TLS before anybody watched, so that their keys are not known".to_owned(), "Connect anew.")
        }
    };
    format!("{of_whom} {spoke}: {known}. {cure}")
}

fn failed(failure: HandshakeFailure, number: u64) -> String {
    let HandshakeFailure { role, by, alert } = failure;
    let handshakes = match (role, number) {
        (Role::Server, 1) => "1 TLS handshake failed".to_owned(),
        (Role::Server, _) => format!("{} TLS handshakes failed", count(number)),
        (Role::Client, 1) => "1 TLS handshake that the server began with another failed".to_owned(),
        (Role::Client, _) => format!("{} TLS handshakes that the server began with others failed", count(number)),
    };
    let who = match by {
        Party::Client => "the client",
        Party::Server => "the server",
    };
    match alert {
        None => format!("{handshakes}: {who} closed the connection before it was over."),
        Some(alert) => {
            let cause = cause(alert).map(|cause| format!(", which means that {cause}")).unwrap_or_default();
            format!("{handshakes}: {who} said `{alert}`{cause}.")
        }
    }
}

/// What an alert means: RFC 8446, section 6.2.
fn cause(alert: Alert) -> Option<&'static str> {
    Some(match alert.name()? {
        "unknown_ca" | "bad_certificate" | "certificate_unknown" => "it does not trust the certificate of the other",
        "certificate_expired" => "the certificate of the other is out of date",
        "handshake_failure" | "insufficient_security" => "the two have no cipher suite or no key in common",
        "protocol_version" => "the two have no version of TLS in common",
        "no_application_protocol" => "the two have no protocol such as h2 in common",
        "unrecognized_name" => "it does not serve the host that was asked for",
        "certificate_required" => "it wants the client to show a certificate",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::fixtures;
    use cargo_beyla_core::model::tls_summary::Durations;

    #[test]
    fn each_reason_has_its_cure_and_each_failure_its_cause() {
        let mut summary = fixtures::healthy();
        let mut turns = Durations::default();
        turns.add(2_000_000);
        turns.add(4_000_000);
        let of = |role, reason, turns| UnreadConnections { role, reason, count: 2, bytes: [2048, 1 << 20], turns };
        summary.tls.unread = vec![
            of(Role::Server, Unreadable::NoKeySeen, turns),
            of(Role::Server, Unreadable::Cipher(CipherSuite(0x1303)), Durations::default()),
            of(Role::Server, Unreadable::Cipher(CipherSuite(0xcca9)), Durations::default()),
            of(Role::Client, Unreadable::OpenBefore, Durations::default()),
        ];
        let failure = |by, alert| HandshakeFailure { role: Role::Server, by, alert };
        summary.tls.failed = vec![(failure(Party::Client, Some(Alert(48))), 3), (failure(Party::Client, None), 1)];
        summary.unseen.tls_connections = 7;
        assert_eq!(
            notes(&summary),
            [
                "2 connections spoke TLS by a library whose keys were not seen: those requests are missing. 2.0 KiB in, \
             1.0 MiB out in 2 turns of 3.00 ms on average. What can be read is rustls with aws-lc-rs or ring, OpenSSL \
             and BoringSSL, unless --no-tls is given.",
                "2 connections agreed on TLS_CHACHA20_POLY1305_SHA256, which is not read: those requests are missing. Have \
             the client ask for AES-GCM, as `curl --tls13-ciphers TLS_AES_128_GCM_SHA256` does.",
                "2 connections agreed on TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, which is not read: those requests \
             are missing. Have the client ask for AES-GCM, as `curl --ciphers ECDHE+AESGCM` does.",
                "2 connections that the server opened spoke TLS before anybody watched, so that their keys are not known: \
             of calls on them, times and sizes are all that is known. Connect anew.",
                "3 TLS handshakes failed: the client said `unknown_ca`, which means that it does not trust the certificate \
             of the other.",
                "1 TLS handshake failed: the client closed the connection before it was over.",
                "1 connection began TLS, and the server answered in plain text, or a proxy's header came first: those \
             requests are missing.",
            ]
        );
    }
}
