//! Records that are right, records that lie, and records of before.

mod layouts;
mod round_trips;

use cargo_beyla_events::{self as records, Header, kind};
use zerocopy::IntoBytes;

use super::*;
use crate::model::connection::Endpoint;
use crate::model::stack::{Frame, Whose};

fn header(kind: u16, size: usize) -> Header {
    Header { kind, size: size as u32, time_ns: 7, connection: 3, ..Default::default() }
}

fn receive(length: u32, captured: u32, data: &[u8]) -> Vec<u8> {
    let transfer = records::Transfer {
        header: header(kind::RECEIVE, size_of::<records::Transfer>() + data.len()),
        length,
        captured,
        ..Default::default()
    };
    [transfer.as_bytes(), data].concat()
}

#[test]
fn a_transfer_lends_its_bytes() {
    let bytes = [receive(9, 3, b"abc"), receive(0, 0, b"")].concat();
    let Ok(Some((Event::Receive(operation), size))) = Event::decode(&bytes) else { panic!("no transfer") };
    assert_eq!((operation.transfer.length, operation.captured), (9, Captured::first(b"abc")));
    assert!(matches!(Event::decode(&bytes[size..]), Ok(Some((Event::Receive(_), _)))));
}

#[test]
fn a_record_cut_short_wants_more() {
    let bytes = receive(3, 3, b"abc");
    for end in 0..bytes.len() {
        assert_eq!(Event::decode(&bytes[..end]), Ok(None), "{end}");
    }
}

#[test]
fn lies_about_sizes_are_refused() {
    for (length, captured, data) in [(2, 3, "abc"), (3, 2, "abc"), (9, 4, "abc")] {
        let bytes = receive(length, captured, data.as_bytes());
        assert!(matches!(Event::decode(&bytes), Err(DecodeError::Captured { .. })));
    }
    for (kind, size) in [
        (kind::RECEIVE, size_of::<records::Transfer>() - 1),
        (kind::SEND, RECORD_MAX + 1),
        (kind::STATE, size_of::<records::State>() - 1),
        (kind::STATE, size_of::<records::State>() + 1),
        (kind::EXEC, size_of::<Header>() + 1),
        (kind::EXEC, 0),
        (9999, size_of::<Header>() - 1),
    ] {
        let bytes = [header(kind, size).as_bytes(), &[0; 100]].concat();
        assert_eq!(Event::decode(&bytes), Err(DecodeError::Size { kind, size: size as u32 }));
    }
}

#[test]
fn unknown_kinds_are_skipped_and_kept() {
    let bytes = [header(9999, 28).as_bytes(), b"what", b"next"].concat();
    assert_eq!(Event::decode(&bytes), Ok(Some((Event::Unknown(&bytes[..28]), 28))));
    assert_eq!(Event::Unknown(&bytes[..28]).to_record(), bytes[..28]);
}

#[test]
fn a_message_ends_where_it_is_no_text() {
    let mut bytes = Event::Failed("no!!").to_record();
    bytes[26] = 0xff;
    assert_eq!(Event::decode(&bytes), Ok(Some((Event::Failed("no"), 28))));
}

#[test]
fn a_text_is_cut_to_what_a_record_has_room_for() {
    let long = "ä".repeat(RECORD_MAX);
    for event in [Event::Failed(&long), Event::TaskType(TaskType { vtable: 7, name: &long })] {
        let record = event.to_record();
        assert!((RECORD_MAX - 1..=RECORD_MAX).contains(&record.len()));
        match Event::decode(&record) {
            Ok(Some((Event::Failed(text) | Event::TaskType(TaskType { name: text, .. }), size))) => {
                assert!(text.len() > RECORD_MAX - 40 && text.ends_with('ä') && size == record.len());
            }
            other => panic!("{other:?}"),
        }
    }
}
