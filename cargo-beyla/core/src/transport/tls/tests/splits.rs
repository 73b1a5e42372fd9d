//! However calls cut the bytes of a connection, the same is read, with the times of the calls.

use proptest::collection::vec;
use proptest::prelude::*;

use super::peer::{Flight, Sealer, clear, client_hello, client_hello_with, connection, message, retry, server_hello};
use super::wire::{PROCESS, Wire, text};
use crate::model::connection::{Party, Role};
use crate::model::tls::{Alert, CipherSuite, Version};
use crate::model::tls_summary::{HandshakeFailure, Unreadable};
use crate::transport::segment::Direction;
use crate::transport::tls::open::Form;
use crate::transport::tls::record::content;

/// What both ends say.
pub(super) fn said() -> impl Strategy<Value = Vec<(Direction, Vec<Vec<u8>>)>> {
    let part = prop_oneof![4 => vec(any::<u8>(), 1..90), 1 => vec(any::<u8>(), 900..3000)];
    vec(vec(part, 1..5), 1..6).prop_map(|turns| {
        let directions = [Direction::Request, Direction::Response].into_iter().cycle();
        directions.zip(turns).collect()
    })
}

pub(super) fn forms() -> impl Strategy<Value = (Form, usize)> {
    (prop_oneof![Just(Form::Tls12), Just(Form::Tls13)], prop_oneof![Just(16), Just(32)])
}

/// What a direction says, as it is told if nothing is missing.
pub(super) fn all(flights: &[Flight], direction: Direction) -> Vec<Option<u8>> {
    let own = flights.iter().filter(|flight| flight.direction == direction);
    own.flat_map(|flight| &flight.records).flat_map(|(_, said)| said).copied().map(Some).collect()
}

/// Moves the flights by calls of these lengths; returns of each record with data where the calls begin and end that
/// moved it.
fn moves(wire: &mut Wire, flights: &[Flight], cuts: &[usize]) -> [Vec<(u64, u64, u64)>; 2] {
    let mut cuts = cuts.iter().cycle();
    let mut segments = [Vec::new(), Vec::new()];
    let mut said = [0; 2];
    for flight in flights {
        for key in &flight.before {
            wire.key(key);
        }
        let bytes = flight.records.concat_records();
        let mut calls = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let length = cuts.next().map_or(bytes.len(), |cut| *cut).min(bytes.len() - at);
            wire.moves(flight.direction, &bytes[at..at + length]);
            calls.push((at..at + length, wire.now));
            at += length;
        }
        for key in &flight.after {
            wire.key(key);
        }
        let mut at = 0;
        for (record, data) in &flight.records {
            let time = |place: usize| calls.iter().find(|(call, _)| call.contains(&place)).map_or(0, |(_, now)| *now);
            let (first, last) = (time(at), time(at + record.len() - 1));
            // The process sends the responses.
            let begin_ns = if flight.direction == Direction::Response { first - 10 } else { first };
            if !data.is_empty() {
                segments[flight.direction as usize].push((said[flight.direction as usize], begin_ns, last));
                said[flight.direction as usize] += data.len() as u64;
            }
            at += record.len();
        }
    }
    segments
}

trait ConcatRecords {
    fn concat_records(&self) -> Vec<u8>;
}

impl ConcatRecords for Vec<(Vec<u8>, Vec<u8>)> {
    fn concat_records(&self) -> Vec<u8> {
        self.iter().flat_map(|(record, _)| record).copied().collect()
    }
}

proptest! {
    #[test]
    fn any_cuts_read_the_same(
        (form, length) in forms(),
        said in said(),
        cuts in vec(prop_oneof![1_usize..40, 40_usize..3000], 1..12),
    ) {
        let flights = connection(form, length, &said);
        let mut wire = Wire::new(Role::Server);
        // Other connections have keys as well.
        for seed in 50..60 {
            wire.key(&Sealer::new(form, length, seed).bytes);
        }
        let segments = moves(&mut wire, &flights, &cuts);
        let heard = wire.closed(None);
        for direction in [Direction::Request, Direction::Response] {
            let told = &heard.told[direction as usize];
            prop_assert_eq!(&told.plain, &all(&flights, direction));
            prop_assert_eq!(&told.segments, &segments[direction as usize]);
        }
        let tls = heard.tls.expect("plaintext");
        prop_assert_eq!(tls.server_name.as_deref(), Some("example.org"));
        prop_assert_eq!(tls.alpn.as_deref(), if form == Form::Tls13 { Some("h2") } else { None });
        prop_assert!(tls.handshake_ns.is_some() && heard.unreadable.is_none() && heard.failure.is_none());
    }

    #[test]
    fn without_its_keys_a_connection_has_bytes_and_no_plaintext((form, length) in forms(), said in said()) {
        let mut flights = connection(form, length, &said);
        for flight in &mut flights {
            (flight.before, flight.after) = (Vec::new(), Vec::new());
        }
        for (others, reason) in [(0, Unreadable::NoKeySeen), (9, Unreadable::KeyNotFound)] {
            let mut wire = Wire::new(Role::Server);
            for seed in 0..others {
                wire.key(&Sealer::new(form, length, 70 + seed).bytes);
            }
            moves(&mut wire, &flights, &[usize::MAX]);
            let heard = wire.closed(Some(Party::Client));
            prop_assert_eq!(heard.unreadable, Some(reason));
            prop_assert!(heard.told.iter().all(|told| told.plain.is_empty()) && heard.failure.is_none());
            prop_assert!(heard.secured.is_some() && heard.told[0].sealed > 0);
        }
    }
}

/// A connection of TLS 1.3 whose handshake is over, and the sealers of both directions.
pub(super) fn opened(keys_too: bool) -> (Wire, [Sealer; 2]) {
    let mut wire = Wire::new(Role::Server);
    let mut flights = connection(Form::Tls13, 32, &[]);
    if !keys_too {
        for flight in &mut flights {
            flight.before.truncate(2);
            flight.after.clear();
        }
    }
    moves(&mut wire, &flights, &[usize::MAX]);
    (wire, [3, 4].map(|seed| Sealer::new(Form::Tls13, 32, seed)))
}

#[test]
fn a_direction_that_changes_its_key_is_read_on() {
    let (mut wire, [mut client, _]) = opened(true);
    wire.moves(Direction::Request, &client.data(b"one "));
    let update = client.seal(content::HANDSHAKE, &message(24, &[0]), 0);
    let mut next = Sealer::new(Form::Tls13, 32, 9);
    let behind = [update, next.data(b"two "), next.data(b"three")].concat();
    wire.moves(Direction::Request, &behind);
    wire.key(&next.bytes);
    assert_eq!(text(&wire.closed(None).told[0].plain), "one two three");
}

#[test]
fn padding_and_empty_records_say_nothing() {
    let (mut wire, [mut client, _]) = opened(true);
    for padding in [0, 1, 300] {
        wire.moves(Direction::Request, &client.seal(content::APPLICATION_DATA, b"ab", padding));
        wire.moves(Direction::Request, &client.seal(content::APPLICATION_DATA, b"", padding));
    }
    assert_eq!(text(&wire.closed(None).told[0].plain), "ababab");
}

/// A client has sent `early ` before the server has said anything, and its key is known.
fn with_early_data() -> Wire {
    let mut wire = Wire::new(Role::Server);
    let mut early = Sealer::new(Form::Tls13, 32, 20);
    wire.moves(Direction::Request, &[client_hello_with(b"\0\x2a\0\0"), early.data(b"early ")].concat());
    wire.key(&early.bytes);
    wire
}

#[test]
fn early_data_is_read_if_its_key_is_known() {
    let mut wire = with_early_data();
    let flights = connection(Form::Tls13, 32, &[(Direction::Request, vec![b"late".to_vec()])]);
    moves(&mut wire, &flights[1..], &[usize::MAX]);
    let heard = wire.closed(None);
    assert_eq!(text(&heard.told[0].plain), "early late");
    assert!(heard.secured.is_some());
}

#[test]
fn what_was_read_before_the_server_answers_is_not_given_on_again() {
    let mut wire = with_early_data();
    wire.moves(Direction::Response, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let heard = wire.closed(None);
    assert!(heard.is_tls);
    assert_eq!(text(&heard.told[0].plain), "early ");
    // The key and the early data prove as much.
    let tls = heard.tls.expect("plaintext");
    assert_eq!((tls.version, tls.cipher), (Some(Version::TLS_1_3), Some(CipherSuite(0x1302))));
    assert_eq!(tls.is_resumed, Some(true));
}

#[test]
fn a_client_that_has_to_begin_again() {
    let changed = clear(content::CHANGE_CIPHER_SPEC, &[1]);
    let mut wire = Wire::new(Role::Client);
    wire.moves(Direction::Request, &client_hello());
    wire.moves(Direction::Response, &[retry(), changed.clone()].concat());
    wire.moves(Direction::Request, &changed);
    let said = [(Direction::Request, vec![b"ask".to_vec()]), (Direction::Response, vec![b"answer".to_vec()])];
    moves(&mut wire, &connection(Form::Tls13, 32, &said), &[usize::MAX]);
    let heard = wire.closed(None);
    assert_eq!([0, 1].map(|direction: usize| text(&heard.told[direction].plain)), ["ask", "answer"]);
    assert_eq!(heard.tls.expect("plaintext").version, Some(Version::TLS_1_3));
}

#[test]
fn a_suite_that_does_not_tell_its_nonces_is_said() {
    let mut wire = Wire::new(Role::Server);
    wire.moves(Direction::Request, &client_hello());
    wire.moves(Direction::Response, &server_hello(Form::Tls13, 0x1303));
    let mut any = Sealer::new(Form::Tls13, 32, 1);
    for direction in [Direction::Response, Direction::Request, Direction::Response] {
        wire.moves(direction, &any.data(&[0; 40]));
    }
    let heard = wire.closed(None);
    assert_eq!(heard.unreadable, Some(Unreadable::Cipher(CipherSuite(0x1303))));
    assert_eq!(heard.told.map(|told| told.sealed), [62, 62]);
}

#[test]
fn a_handshake_fails_by_an_alert_or_because_the_connection_closes() {
    let failure = |by, alert| Some(HandshakeFailure { role: Role::Server, by, alert });
    let mut wire = Wire::new(Role::Server);
    wire.moves(Direction::Request, &client_hello());
    wire.moves(Direction::Response, &clear(content::ALERT, &[2, 40]));
    assert_eq!(wire.closed(Some(Party::Server)).failure, failure(Party::Server, Some(Alert(40))));

    // The client has looked at the certificate, and says what is wrong with it under its first key.
    let mut wire = Wire::new(Role::Server);
    let flights = connection(Form::Tls13, 16, &[]);
    moves(&mut wire, &flights[..2], &[usize::MAX]);
    wire.moves(Direction::Request, &Sealer::new(Form::Tls13, 16, 1).seal(content::ALERT, &[2, 48], 0));
    let heard = wire.closed(Some(Party::Client));
    assert_eq!((heard.failure, heard.secured), (failure(Party::Client, Some(Alert(48))), None));

    let mut wire = Wire::new(Role::Server);
    wire.moves(Direction::Request, &client_hello());
    assert_eq!(wire.closed(Some(Party::Client)).failure, failure(Party::Client, None));

    // Nobody has closed it when the run ends.
    let mut wire = Wire::new(Role::Server);
    wire.moves(Direction::Request, &client_hello());
    assert_eq!(wire.closed(None).failure, None);
}

#[test]
fn a_client_may_turn_to_tls() {
    let flights = connection(Form::Tls13, 32, &[(Direction::Request, vec![b"login".to_vec()])]);
    let mut wire = Wire::new(Role::Client);
    wire.moves(Direction::Request, b"\0\0\0\x08\x04\xd2\x16\x2f");
    wire.moves(Direction::Response, b"S");
    moves(&mut wire, &flights, &[100]);
    let heard = wire.closed(None);
    assert_eq!(text(&heard.told[0].plain), "\0\0\0\x08\x04\u{d2}\x16/login");
    assert_eq!(text(&heard.told[1].plain), "S");
}

#[test]
fn who_speaks_tls_to_a_server_that_does_not_is_given_on_as_it_is() {
    let mut wire = Wire::new(Role::Server);
    wire.moves(Direction::Request, &client_hello());
    wire.moves(Direction::Response, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let heard = wire.closed(Some(Party::Server));
    assert!(!heard.is_tls && heard.failure.is_none() && heard.unreadable.is_none());
    assert_eq!(text(&heard.told[0].plain)[..2], *"\x16\x03");
    assert!(text(&heard.told[1].plain).starts_with("HTTP/1.1 400"));
}

#[test]
fn the_keys_of_another_process_open_nothing() {
    let (mut wire, [mut client, mut server]) = opened(false);
    let mut key = crate::event::Key { time_ns: 0, process: 0, thread: 3, library: 1, length: 32, bytes: [0; 32] };
    key.bytes.copy_from_slice(&client.bytes);
    wire.keys.add(PROCESS + 1, &key);
    for _ in 0..4 {
        wire.moves(Direction::Request, &client.data(b"secret"));
        wire.moves(Direction::Response, &server.data(b"secret"));
    }
    let heard = wire.closed(None);
    assert!(heard.told.iter().all(|told| told.plain.iter().all(Option::is_none)), "{:?}", heard.told);
}
