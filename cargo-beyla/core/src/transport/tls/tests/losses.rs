//! Whatever is not captured or lost is missing, and nothing wrong is told in its place.

use proptest::collection::vec;
use proptest::prelude::*;

use super::peer::{Sealer, connection, message};
use super::splits::{all, forms, opened, said};
use super::wire::{Wire, text};
use crate::model::connection::Role;
use crate::transport::segment::Direction;
use crate::transport::tls::open::Form;
use crate::transport::tls::record::content;

/// What becomes of a call.
#[derive(Clone, Debug)]
enum Fate {
    Captured,
    /// Only these parts are: what lies before each, and its length.
    InParts(Vec<(usize, usize)>),
    Lost,
}

fn fates() -> impl Strategy<Value = Vec<(usize, Fate)>> {
    let parts = vec((0_usize..60, 1_usize..200), 0..6).prop_map(Fate::InParts);
    let fate = prop_oneof![4 => Just(Fate::Captured), 2 => parts, 1 => Just(Fate::Lost)];
    vec((prop_oneof![1_usize..40, 40_usize..3000], fate), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_told_is_what_was_said(
        (form, length) in forms(),
        said in said(),
        fates in fates(),
    ) {
        let flights = connection(form, length, &said);
        let handshake = connection(form, length, &[]).len();
        let mut wire = Wire::new(Role::Server);
        let mut fates = fates.iter().cycle();
        for (index, flight) in flights.iter().enumerate() {
            for key in &flight.before {
                wire.key(key);
            }
            for (record, said) in &flight.records {
                // The handshake is whole, and so is the first record of each direction.
                if said.is_empty() || index < handshake + 1 {
                    wire.moves(flight.direction, record);
                    continue;
                }
                let mut rest = &record[..];
                while let Some((cut, fate)) = fates.next().filter(|_| !rest.is_empty()) {
                    let (bytes, behind) = rest.split_at(rest.len().min(*cut));
                    match fate {
                        Fate::Captured => wire.moves(flight.direction, bytes),
                        Fate::Lost => wire.loses(flight.direction, bytes.len()),
                        Fate::InParts(parts) => {
                            let mut at = 0;
                            let mut known = Vec::new();
                            for (before, length) in parts {
                                let start = (at + before).min(bytes.len());
                                at = (start + length).min(bytes.len());
                                if start < at {
                                    known.push((start, at - start));
                                }
                            }
                            wire.moves_captured(flight.direction, bytes, &known);
                        }
                    }
                    rest = behind;
                }
            }
            for key in &flight.after {
                wire.key(key);
            }
        }
        let heard = wire.closed(None);
        for direction in [Direction::Request, Direction::Response] {
            let (told, all) = (&heard.told[direction as usize].plain, all(&flights, direction));
            for (place, byte) in told.iter().enumerate().filter(|(_, byte)| byte.is_some()) {
                // Of TLS 1.2 nobody knows how many records are missing.
                if form == Form::Tls13 {
                    prop_assert_eq!(Some(byte), all.get(place), "at {}", place);
                }
            }
            if form == Form::Tls12 {
                for run in told.split(Option::is_none).filter(|run| run.len() > 3) {
                    prop_assert!(all.windows(run.len()).any(|window| window == run));
                }
            }
        }
    }
}

#[test]
fn behind_a_loss_the_first_whole_record_finds_the_step() {
    let (mut wire, [mut client, _]) = opened(true);
    wire.moves(Direction::Request, &client.data(b"first "));
    for lost in [&b"lost"[..], &[7; 400]] {
        wire.loses(Direction::Request, client.data(lost).len());
    }
    let next = client.data(b"next ");
    let last = client.data(&[b'x'; 50]);
    let (tail, behind) = last.split_at(30);
    wire.moves(Direction::Request, &[&next, tail].concat());
    wire.moves(Direction::Request, behind);
    let told = text(&wire.closed(None).told[0].plain);
    assert_eq!(told, format!("first {}next {}", "_".repeat(404), "x".repeat(50)));
}

#[test]
fn a_key_that_changes_in_what_is_lost_is_not_used_on() {
    let (mut wire, [mut client, _]) = opened(true);
    wire.moves(Direction::Request, &client.data(b"old"));
    wire.loses(Direction::Request, client.seal(content::HANDSHAKE, &message(24, &[0]), 0).len());
    let mut next = Sealer::new(Form::Tls13, 32, 9);
    wire.moves(Direction::Request, &next.data(b"new"));
    wire.key(&next.bytes);
    wire.moves(Direction::Request, &next.data(b"er"));
    let told = text(&wire.closed(None).told[0].plain);
    assert!(told.starts_with("old") && told.ends_with("newer") | told.ends_with("er"), "{told}");
    assert!(told.chars().all(|told| "oldnewr_".contains(told)), "{told}");
}

#[test]
fn of_a_record_that_is_captured_in_part_the_parts_are_told() {
    let (mut wire, [mut client, _]) = opened(true);
    wire.moves(Direction::Request, &client.data(b"trusted "));
    let record = client.data(b"0123456789abcdefghij");
    wire.moves_captured(Direction::Request, &record, &[(0, 5 + 3), (5 + 8, 4)]);
    wire.moves(Direction::Request, &client.data(b" more"));
    assert_eq!(text(&wire.closed(None).told[0].plain), "trusted 012_____89ab________ more");
}

#[test]
fn a_key_that_has_opened_a_ticket_is_trusted_with_what_is_captured_in_part() {
    let (mut wire, [_, mut server]) = opened(true);
    wire.moves(Direction::Response, &server.seal(content::HANDSHAKE, &message(4, &[9; 60]), 0));
    let record = server.data(b"HTTP/1.1 200 OK and much more");
    wire.moves_captured(Direction::Response, &record, &[(0, 5 + 15)]);
    assert_eq!(text(&wire.closed(None).told[1].plain), "HTTP/1.1 200 OK______________");
}

/// A connection whose first record of data is captured in part is read from the next one on.
#[test]
fn a_key_proves_itself_on_a_whole_record_alone() {
    let (mut wire, [mut client, _]) = opened(true);
    let record = client.data(&[b'a'; 100]);
    wire.moves_captured(Direction::Request, &record, &[(0, 50)]);
    wire.moves(Direction::Request, &client.data(b"whole"));
    wire.moves(Direction::Request, &client.data(b", too"));
    assert_eq!(text(&wire.closed(None).told[0].plain), format!("{}whole, too", "_".repeat(100)));
}
