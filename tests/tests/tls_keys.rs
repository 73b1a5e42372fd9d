//! What is recorded of TLS: every key that a connection has, and all bytes that stand for one. The truth is the client's own
//! log of its secrets, and what it has sent and received.

use std::path::Path;

use beyla_tests::fixture;
use beyla_tests::report::{Report, Request};
use beyla_tests::run::{Capture, Run};
use beyla_tests::tls::{Beginning, Seen, TLS_SERVER, TlsClient};
use cargo_beyla_core::event::{Captured, Event, Operation};
use cargo_beyla_events::library;
use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};

/// More than is captured of a turn where no frames are followed.
const MUCH: usize = 200_000;

/// What a recording has.
#[derive(Default)]
struct Recorded {
    keys: Vec<Vec<u8>>,
    /// In the order in which they were opened.
    connections: Vec<Connection>,
}

/// The bytes of a connection that are known.
#[derive(Default)]
struct Connection {
    id: u64,
    received: Vec<Option<u8>>,
    sent: Vec<Option<u8>>,
}

impl Recorded {
    fn read(recording: &Path) -> Self {
        let bytes = std::fs::read(recording).expect("a recording");
        // A line that names the format, and one about the run.
        let mut rest = bytes.splitn(3, |byte| *byte == b'\n').nth(2).expect("records");
        let mut recorded = Self::default();
        while let Ok(Some((event, size))) = Event::decode(rest) {
            rest = &rest[size..];
            match event {
                Event::Key(key) => {
                    assert_eq!(key.library, library::RING);
                    recorded.keys.push(key.bytes[..key.length.into()].to_vec());
                }
                Event::Open(open) => {
                    recorded.connections.push(Connection { id: open.connection, ..Connection::default() });
                }
                Event::Receive(operation) => add(&mut recorded.connection(&operation).received, &operation),
                Event::Send(operation) => add(&mut recorded.connection(&operation).sent, &operation),
                _ => {}
            }
        }
        recorded
    }

    fn connection(&mut self, of: &Operation<'_>) -> &mut Connection {
        let id = of.transfer.header.connection;
        self.connections.iter_mut().find(|connection| connection.id == id).expect("it was opened")
    }
}

/// Adds what a call moved.
fn add(stream: &mut Vec<Option<u8>>, operation: &Operation<'_>) {
    let Operation { transfer, captured } = operation;
    let begin = stream.len();
    stream.resize(begin + transfer.length as usize, None);
    for (offset, bytes) in Captured::pieces(captured) {
        for (place, byte) in stream[begin + offset as usize..].iter_mut().zip(bytes) {
            *place = Some(*byte);
        }
    }
}

/// A run of the server, what of it is recorded, and its report; `clients` get its certificate.
fn recorded(
    capture: Capture,
    tickets: &str,
    flags: &[&str],
    clients: impl FnOnce(std::net::SocketAddr, &str) -> Vec<Seen>,
) -> (Vec<Seen>, Recorded, Report) {
    let folder = fixture::folder(&[]);
    let recording = folder.path().join("recording");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = certified.cert.pem();
    let run = Run::of(TLS_SERVER, capture)
        .environment("CERTIFICATE", &certificate)
        .environment("KEY", certified.signing_key.serialize_pem())
        .environment("TICKETS", tickets)
        .flags(flags)
        .flags(["--record".as_ref(), recording.as_os_str()])
        .start();
    let seen = clients(([127, 0, 0, 1], run.port).into(), &certificate);
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    (seen, Recorded::read(&recording), finished.report())
}

fn known(bytes: &[u8]) -> Vec<Option<u8>> {
    bytes.iter().copied().map(Some).collect()
}

/// In each version, asked for or not, at the beginning of the connection or later.
#[test]
fn each_key_and_each_byte_of_a_connection_are_recorded() {
    for &capture in Capture::ways() {
        let (seen, recorded, report) = recorded(capture, "", &[], |address, certificate| {
            let connection = |suite: SupportedCipherSuite, beginning: Beginning| {
                let mut client = TlsClient::connect(address, certificate, suite, beginning);
                client.get(10);
                client.get(MUCH);
                client.close()
            };
            vec![
                connection(TLS13_AES_256_GCM_SHA384, Beginning::AtOnce),
                connection(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, Beginning::AtOnce),
                connection(TLS13_AES_256_GCM_SHA384, Beginning::Asks),
                connection(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, Beginning::Asks),
                connection(TLS13_AES_256_GCM_SHA384, Beginning::InPieces),
                connection(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, Beginning::InPieces),
            ]
        });
        let of_connections: Vec<usize> = seen.iter().map(|seen| seen.keys.len()).collect();
        assert_eq!(of_connections, [4, 2, 4, 2, 4, 2], "as TLS has it");
        let mut expected: Vec<Vec<u8>> = seen.iter().flat_map(|seen| seen.keys.clone()).collect();
        let mut found = recorded.keys;
        expected.sort_unstable();
        found.sort_unstable();
        assert!(found == expected, "{} keys are recorded of {}", found.len(), expected.len());

        assert_eq!(recorded.connections.len(), seen.len());
        for (number, (connection, Seen { wire, .. })) in recorded.connections.iter().zip(&seen).enumerate() {
            assert!(wire.received.len() > MUCH);
            assert!(connection.received == known(&wire.sent), "connection {number}: what the server received");
            assert!(connection.sent == known(&wire.received), "connection {number}: what it sent");
        }
        // But for the two that are of PostgreSQL by their beginning.
        let paths: Vec<&str> = report.requests.iter().map(|request| &*request.path).collect();
        assert_eq!(paths, ["/bytes/10", "/bytes/200000"].repeat(4));
    }
}

/// A server that gives out no tickets has an answer in the first record under its last key: one of 16 KiB.
#[test]
fn the_longest_record_proves_its_key() {
    for &capture in Capture::ways() {
        let (_, _, report) = recorded(capture, "0", &[], |address, certificate| {
            let mut client = TlsClient::connect(address, certificate, TLS13_AES_256_GCM_SHA384, Beginning::AtOnce);
            client.get(MUCH);
            vec![client.close()]
        });
        let [request] = &report.requests[..] else { panic!("{:?}", report.requests) };
        assert_eq!((request.status, &*request.outcome), (Some(200), "complete"));
        assert_eq!(request.response_bytes.and_then(|bytes| bytes.body), Some(MUCH as u64));
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
    }
}

#[test]
fn what_comes_before_the_handshake_is_over_is_a_request_as_any_other() {
    for capture in [Capture::Socket, Capture::Syscalls] {
        let (seen, recorded, report) = recorded(capture, "", &[], |address, certificate| {
            let mut client = TlsClient::connect(address, certificate, TLS13_AES_256_GCM_SHA384, Beginning::AtOnce);
            client.get(10);
            client.close_and_get_early(address, 20).into()
        });
        assert_eq!(seen.iter().map(|seen| seen.keys.len()).collect::<Vec<_>>(), [4, 5], "what is early has a key");
        assert_eq!(recorded.keys.len(), 9);
        let of_each = |request: &Request| {
            let resumed = request.tls.as_ref().and_then(|tls| tls.resumed);
            (request.path.clone(), request.status, request.response_bytes.and_then(|bytes| bytes.body), resumed)
        };
        let found: Vec<_> = report.requests.iter().map(of_each).collect();
        let expected = [(10, Some(false)), (20, Some(true))]
            .map(|(count, resumed)| (format!("/bytes/{count}"), Some(200), Some(count), resumed));
        assert_eq!(found, expected);
        // The early one comes before the server says either.
        for tls in report.requests.iter().filter_map(|request| request.tls.as_ref()) {
            assert_eq!(tls.version.as_deref(), Some("1.3"));
            assert_eq!(tls.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
        }
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
    }
}

#[test]
fn without_tls_no_key_is_taken() {
    let (seen, recorded, report) = recorded(Capture::Auto, "", &["--no-tls"], |address, certificate| {
        let mut client = TlsClient::connect(address, certificate, TLS13_AES_256_GCM_SHA384, Beginning::AtOnce);
        client.get(MUCH);
        vec![client.close()]
    });
    assert_eq!((recorded.keys.len(), recorded.connections.len(), report.requests.len()), (0, 1, 0));
    let wire = &seen[0].wire;
    let sent = &recorded.connections[0].sent;
    let captured = sent.iter().flatten().count();
    assert!(sent.len() == wire.received.len() && captured < MUCH / 2, "{captured} of {}", sent.len());
}
