//! Two connections that were recorded, with the keys that the process has set up: TLS 1.3 of rustls with aws-lc-rs, and TLS
//! 1.2 of rustls with ring. The client is curl with OpenSSL.

use super::wire::{Wire, text};
use crate::model::connection::Role;
use crate::model::tls::{CipherSuite, Tls, Version};
use crate::transport::segment::Direction;

/// One file: keys, and what each end has sent.
pub(super) struct Recorded {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
}

pub(super) fn recorded(file: &str) -> Recorded {
    let mut recorded = Recorded { keys: Vec::new(), client: Vec::new(), server: Vec::new() };
    for line in file.lines() {
        let (what, hex) = line.split_once(' ').expect("two words");
        let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("digits");
        let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(digits).collect();
        match what {
            "key" => recorded.keys.push(bytes),
            "client" => recorded.client = bytes,
            _ => recorded.server = bytes,
        }
    }
    recorded
}

/// The records of a direction.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while bytes.len() > 5 {
        let (record, rest) = bytes.split_at(5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]])));
        records.push(record);
        bytes = rest;
    }
    records
}

/// The turns of the two recordings: how many records of the client, then how many of the server.
const TURNS_13: [(usize, usize); 4] = [(1, 3), (3, 2), (1, 1), (1, 1)];
const TURNS_12: [(usize, usize); 5] = [(1, 1), (3, 2), (1, 1), (1, 1), (1, 1)];

fn replay(file: &str, turns: &[(usize, usize)], role: Role) -> super::wire::Heard {
    let Recorded { keys, client, server } = recorded(file);
    let (mut client, mut server) = (records(&client).into_iter(), records(&server).into_iter());
    let mut wire = Wire::new(role);
    for (index, (of_client, of_server)) in turns.iter().enumerate() {
        if index == 1 {
            // Behind those of others.
            for key in &keys {
                wire.key(key);
            }
        }
        client.by_ref().take(*of_client).for_each(|record| wire.moves(Direction::Request, record));
        server.by_ref().take(*of_server).for_each(|record| wire.moves(Direction::Response, record));
    }
    assert_eq!((client.count(), server.count()), (0, 0));
    wire.closed(None)
}

fn plain(heard: &super::wire::Heard, direction: Direction) -> String {
    text(&heard.told[direction as usize].plain)
}

#[test]
fn every_record_of_tls_13_is_opened() {
    for role in [Role::Server, Role::Client] {
        let heard = replay(include_str!("recorded/tls13.txt"), &TURNS_13, role);
        let requests = plain(&heard, Direction::Request);
        let responses = plain(&heard, Direction::Response);
        assert_eq!((requests.matches("GET /n/").count(), requests.len()), (2, 2 * (98 - 17)), "{requests}");
        assert_eq!((responses.matches("HTTP/1.1 200 OK").count(), responses.len()), (2, 2 * (141 - 17)), "{responses}");
        assert!(!requests.contains('_') && !responses.contains('_'));
        assert_eq!(
            heard.tls,
            Some(Tls {
                version: Some(Version::TLS_1_3),
                cipher: Some(CipherSuite(0x1302)),
                library: Some("ring"),
                alpn: Some("http/1.1".into()),
                server_name: None,
                is_resumed: Some(false),
                handshake_ns: heard.secured.and_then(|(_, handshake_ns)| handshake_ns),
            })
        );
        // From the first call to the sixth: the client's second record in its second turn is its last message.
        let begun = if role == Role::Server { 1015 } else { 1010 };
        assert_eq!(heard.secured, Some((1120, Some(1120 - begun))));
        assert_eq!((heard.unreadable, heard.failure), (None, None));
    }
}

#[test]
fn every_record_of_tls_12_is_opened() {
    for role in [Role::Server, Role::Client] {
        let heard = replay(include_str!("recorded/tls12.txt"), &TURNS_12, role);
        let requests = plain(&heard, Direction::Request);
        let responses = plain(&heard, Direction::Response);
        assert_eq!((requests.matches("GET /n/").count(), requests.len()), (2, 2 * (105 - 24)), "{requests}");
        assert_eq!((responses.matches("HTTP/1.1 200 OK").count(), responses.len()), (2, 2 * (148 - 24)), "{responses}");
        assert!(!requests.contains('_') && !responses.contains('_'));
        let tls = heard.tls.expect("plaintext");
        assert_eq!(
            (tls.version, tls.alpn.as_deref(), tls.is_resumed),
            (Some(Version::TLS_1_2), Some("http/1.1"), Some(false))
        );
        assert_eq!(heard.secured.map(|(secured_ns, _)| secured_ns), Some(1140));
    }
}

#[test]
fn a_segment_has_the_times_of_the_calls_that_moved_its_record() {
    let heard = replay(include_str!("recorded/tls13.txt"), &TURNS_13, Role::Server);
    // The client's calls are the 1st, 5th to 7th, 10th and 12th.
    assert_eq!(heard.told[0].segments, [(0, 1140, 1140), (81, 1200, 1200)]);
    assert_eq!(heard.told[1].segments, [(0, 1170, 1180), (124, 1210, 1220)]);
}
