//! TLS in the JSON report: what a connection agreed on, and what was counted of all of them.

use serde::Serialize;

use cargo_beyla_core::model::connection::{Party, Role};
use cargo_beyla_core::model::tls::{CipherSuite, Sealing, Tls, Version};
use cargo_beyla_core::model::tls_summary::{Durations, HandshakeFailure, TlsSummary, UnreadConnections, Unreadable};

/// Of a request or a call.
#[derive(Serialize)]
pub(super) struct TlsRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    library: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_ns: Option<u64>,
}

/// `handshake_ns`: of what waited for the handshake.
pub(super) fn of_connection(tls: &Tls, handshake_ns: Option<u64>) -> TlsRow<'_> {
    let Tls { version, cipher, library, alpn, server_name, is_resumed, handshake_ns: _ } = tls;
    TlsRow {
        version: version.as_ref().map(Version::to_string),
        cipher: cipher.as_ref().map(CipherSuite::to_string),
        library: *library,
        alpn: alpn.as_deref(),
        server_name: server_name.as_deref(),
        resumed: *is_resumed,
        handshake_ns,
    }
}

/// Of a run.
#[derive(Serialize)]
pub(super) struct TlsTotals {
    connections: u64,
    client_connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshakes: Option<DurationsRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_handshakes: Option<DurationsRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<FailedRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<UnreadRow>,
}

#[derive(Serialize)]
struct DurationsRow {
    count: u64,
    mean_ns: u64,
    max_ns: u64,
}

#[derive(Serialize)]
struct FailedRow {
    role: &'static str,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<String>,
    count: u64,
}

#[derive(Serialize)]
struct UnreadRow {
    role: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    connections: u64,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<DurationsRow>,
}

/// `None` if nothing spoke TLS.
pub(super) fn totals(summary: &TlsSummary) -> Option<TlsTotals> {
    let TlsSummary { connections: [accepted, opened], handshakes: [handshakes, client_handshakes], failed, unread } =
        summary;
    (accepted + opened > 0).then(|| TlsTotals {
        connections: *accepted,
        client_connections: *opened,
        handshakes: durations(handshakes),
        client_handshakes: durations(client_handshakes),
        failed: failed.iter().map(|(failure, count)| failed_row(*failure, *count)).collect(),
        unread: unread.iter().map(unread_row).collect(),
    })
}

fn durations(durations: &Durations) -> Option<DurationsRow> {
    let mean_ns = durations.mean_ns()?;
    Some(DurationsRow { count: durations.count, mean_ns, max_ns: durations.max_ns })
}

fn failed_row(HandshakeFailure { role, by, alert }: HandshakeFailure, count: u64) -> FailedRow {
    let by = match by {
        Party::Client => "client",
        Party::Server => "server",
    };
    FailedRow { role: name(role), by, alert: alert.map(|alert| alert.to_string()), count }
}

fn unread_row(unread: &UnreadConnections) -> UnreadRow {
    let UnreadConnections { role, reason, count, bytes: [request_bytes, response_bytes], turns } = *unread;
    let (reason, cipher) = match reason {
        Unreadable::NoKeySeen => ("no key seen", None),
        Unreadable::KeyNotFound => ("key not found", None),
        Unreadable::Cipher(cipher) if cipher.sealing() == Sealing::ChaCha20 => ("chacha20", Some(cipher)),
        Unreadable::Cipher(cipher) => ("cipher", Some(cipher)),
        Unreadable::OpenBefore => ("open before", None),
    };
    UnreadRow {
        role: name(role),
        reason,
        cipher: cipher.map(|cipher| cipher.to_string()),
        connections: count,
        request_bytes,
        response_bytes,
        turns: durations(&turns),
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}
