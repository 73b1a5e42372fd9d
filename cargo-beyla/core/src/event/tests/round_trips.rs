//! Whatever is decoded is encoded to what decodes to the same.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::event::table::KINDS;

/// What is decoded of `bytes`, from the beginning to the first that are no record; checked on the way.
fn check(mut bytes: &[u8]) -> usize {
    let mut events = 0;
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        let record = event.to_record();
        assert_eq!(Event::decode(&record), Ok(Some((event, record.len()))));
        bytes = &bytes[size..];
        events += 1;
    }
    events
}

/// A record with this kind and size; where it captures bytes, all that follow its structure.
fn with_header(kind: u16, size: usize, bytes: &[u8], in_pieces: bool) -> Vec<u8> {
    let mut record: Vec<u8> = bytes.iter().copied().cycle().take(size).collect();
    let header = Header { kind, size: size as u32, time_ns: 7, ..Header::default() };
    record[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    let structure = size_of::<records::Transfer>();
    if [kind::RECEIVE, kind::SEND].contains(&kind) && size >= structure {
        let header = Header { flags: if in_pieces { records::CAPTURED_PIECES } else { 0 }, ..header };
        let captured = (size - structure) as u32;
        let transfer = records::Transfer { header, length: u32::MAX, captured, ..Default::default() };
        record[..structure].copy_from_slice(transfer.as_bytes());
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn of_records_of_every_kind_and_size(
        bytes in vec(prop_oneof![any::<u8>(), Just(0), Just(b'\t'), Just(b'\n'), Just(b'1')], 1..400),
        more in vec(size_of::<Header>()..400, 3),
        in_pieces in any::<bool>(),
    ) {
        for &kind in KINDS {
            // Of every structure, and others.
            let sizes = (size_of::<Header>()..160).step_by(8).chain(more.iter().copied()).chain([RECORD_MAX]);
            let decoded: usize = sizes.map(|size| check(&with_header(kind, size, &bytes, in_pieces))).sum();
            prop_assert!(decoded > 0, "no size fits a record of kind {}", kind);
        }
    }

    #[test]
    fn of_any_bytes(bytes in vec(any::<u8>(), 0..2000)) {
        check(&bytes);
    }
}

/// They were written when texts still stood in the tables of other files.
#[test]
fn of_the_seeds_of_the_fuzzer() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/records");
    let mut events = 0;
    for seed in std::fs::read_dir(directory).expect("the seeds") {
        let bytes = std::fs::read(seed.expect("a seed").path()).expect("a file");
        events += check(&bytes);
        let mut rest = &bytes[..];
        while let Ok(Some((event, size))) = Event::decode(rest) {
            assert!(!matches!(event, Event::Unknown(_)));
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
    }
    assert!(events > 50, "{events}");
}

fn stack(frames: Vec<Frame>) -> Event<'static> {
    Event::StackFrames(StackFrames { stack: 3, frames: frames.into() })
}

#[test]
fn of_frames() {
    let frames = [
        Frame { function: "std::thread::sleep".into(), source: None, whose: Whose::System },
        Frame { function: "a::b".into(), source: Some(("src/main.rs".into(), 42)), whose: Whose::Workspace },
        Frame { function: "tokio::spawn".into(), source: None, whose: Whose::Library },
    ];
    let event = stack(frames.to_vec());
    let record = event.to_record();
    assert_eq!(Event::decode(&record), Ok(Some((event, record.len()))));
    // What divides fields stands in none.
    let odd = Frame { function: "a\tb".into(), source: Some(("a\nb".into(), 1)), whose: Whose::Library };
    let even = Frame { function: "a b".into(), source: Some(("a b".into(), 1)), whose: Whose::Library };
    let record = stack(vec![odd]).to_record();
    assert_eq!(Event::decode(&record), Ok(Some((stack(vec![even]), record.len()))));
}

#[test]
fn of_more_frames_than_a_record_has_room_for() {
    let frame = Frame { function: "f".repeat(1000).into(), source: None, whose: Whose::Library };
    let record = stack(vec![frame.clone(); 100]).to_record();
    assert!(record.len() <= RECORD_MAX);
    assert_eq!(Event::decode(&record), Ok(Some((stack(vec![frame; 65]), record.len()))));
}

#[test]
fn of_the_ends_of_connections() {
    let tcp = |address: &str| Endpoint::Tcp(address.parse().expect("an address"));
    let unix = |name: &str| Endpoint::Unix(name.to_owned());
    for local in [
        tcp("127.0.0.1:80"),
        tcp("[::1]:65535"),
        unix("/run/a.sock"),
        unix("@name@b"),
        unix("@"),
        unix(""),
        unix(&"é".repeat(162)),
    ] {
        let event = Event::Listen(Listen { time_ns: 1, local, process: 2, ipv6_only: true, before: false });
        let record = event.to_record();
        assert_eq!(Event::decode(&record), Ok(Some((event, record.len()))));
    }
}
