use std::path::Path;

use cargo_beyla_events::{State, Transfer, kind};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::error::Error;
use crate::report::fixtures;
use crate::report::run_info::Seed;
use cargo_beyla_core::event::{Captured, Event, Moment, Operation, RECORD_MAX};
use cargo_beyla_core::model::system_call::Architecture;

static CAPTURED: [u8; 20_000] = [7; 20_000];

fn events() -> [Event<'static>; 3] {
    let header = |kind, size, time_ns| Header { kind, flags: 0, size, time_ns, connection: 0 };
    let size = size_of::<Transfer>() + CAPTURED.len();
    let transfer = Transfer {
        header: header(kind::SEND, size as u32, fixtures::START + 30),
        length: 20_000,
        captured: 20_000,
        ..Transfer::default()
    };
    let state =
        State { header: header(kind::STATE, size_of::<State>() as u32, fixtures::START + 20), ..State::default() };
    [
        Event::Exec(Moment { time_ns: fixtures::START + 10 }),
        Event::Send(Operation { transfer, captured: Captured::first(&CAPTURED) }),
        Event::State(state),
    ]
}

fn records() -> Vec<u8> {
    events().iter().flat_map(Event::to_record).collect()
}

/// A whole recording of [`events`].
fn recorded(exit: Option<Exit>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut recorder = Recorder::new(Path::new("run.beyla"), &mut bytes, &fixtures::run()).unwrap();
    for event in events() {
        recorder.record(&event).unwrap();
    }
    recorder.finish(fixtures::START + 100, exit).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> Result<Recording<&[u8]>, Error> {
    Recording::new(Path::new("run.beyla"), bytes)
}

/// How many of [`events`] it begins with, and how it ends.
fn read(bytes: &[u8]) -> (usize, Ending, u64) {
    let mut recording = open(bytes).unwrap();
    let mut count = 0;
    while let Some(event) = recording.next_event().unwrap() {
        assert_eq!(Some(&event), events().get(count));
        count += 1;
    }
    assert!(recording.next_event().unwrap().is_none());
    (count, recording.ending().unwrap().clone(), recording.duration_ns())
}

#[test]
fn what_is_written_is_read() {
    for exit in [None, Some(Exit::Code(3)), Some(Exit::Signal(15))] {
        let bytes = recorded(exit);
        assert_eq!(open(&bytes).unwrap().run(), &fixtures::run());
        let complete = Ending::Complete { end_monotonic_ns: fixtures::START + 100, exit };
        assert_eq!(read(&bytes), (3, complete, 100));
    }
}

#[test]
fn a_recording_cut_anywhere_is_good_up_to_there() {
    let bytes = recorded(None);
    let start = bytes.len() - size_of::<End>() - records().len();
    for length in start..bytes.len() {
        let (read, ending, duration_ns) = read(&bytes[..length]);
        assert!(matches!(ending, Ending::CutShort { .. }), "{length}: {ending:?}");
        assert_eq!(duration_ns, [0, 10, 30, 30][read]);
    }
    for length in 0..start - 1 {
        assert!(matches!(open(&bytes[..length]), Err(Error::NotARecording { .. })), "{length}");
    }
}

#[test]
fn an_impossible_size_ends_it() {
    for size in [0, 23, RECORD_MAX as u32 + 1, u32::MAX] {
        let mut bytes = recorded(None);
        bytes.truncate(bytes.len() - size_of::<End>());
        let header = Header { kind: kind::SEND, size, ..Header::default() };
        bytes.extend(header.as_bytes());
        let (read, ending, _) = read(&bytes);
        assert_eq!(read, 3);
        assert!(matches!(ending, Ending::CutShort { .. }), "{ending:?}");
    }
}

/// Its size is not one that a record of its kind can have.
#[test]
fn a_record_that_cannot_be_is_unknown_and_those_beside_it_are_read() {
    let begin = recorded(None);
    let begin = &begin[..begin.len() - size_of::<End>()];
    let header = Header { kind: kind::STATE, size: size_of::<Header>() as u32 + 3, ..Header::default() };
    let odd = [header.as_bytes(), b"odd"].concat();
    let bytes = [begin, &odd, &events()[0].to_record()].concat();
    let mut recording = open(&bytes).unwrap();
    for event in events() {
        assert_eq!(recording.next_event().unwrap(), Some(event));
    }
    assert_eq!(recording.next_event().unwrap(), Some(Event::Unknown(&odd)));
    assert_eq!(recording.next_event().unwrap(), Some(events()[0].clone()));
    assert!(recording.next_event().unwrap().is_none());
}

#[test]
fn other_files_are_refused() {
    for (bytes, reason) in [
        (&b""[..], "it does not begin as one"),
        (b"\x7fELF and so on and so forth", "it does not begin as one"),
        (b"cargo-beyla recording 1\n{}\n", "another version of cargo beyla wrote it"),
    ] {
        match open(bytes) {
            Err(Error::NotARecording { reason: found, .. }) => assert_eq!(found, reason),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..4096), whole in any::<bool>()) {
        let mut bytes = MAGIC.to_vec();
        if whole {
            serde_json::to_writer(&mut bytes, &fixtures::run()).unwrap();
            bytes.push(b'\n');
        }
        bytes.extend(garbage);
        if let Ok(mut recording) = open(&bytes) {
            while recording.next_event().unwrap().is_some() {}
            recording.duration_ns();
        }
    }
}

#[test]
fn a_seed_survives_and_a_recording_without_one_is_read() {
    for (trace_seed, shown) in [(None, false), (Some(Seed(7)), true), (Some(Seed(u128::MAX)), true)] {
        let text = serde_json::to_string(&RunInfo { trace_seed, ..fixtures::run() }).unwrap();
        assert_eq!(text.contains("trace_seed"), shown, "{text}");
        assert_eq!(serde_json::from_str::<RunInfo>(&text).unwrap().trace_seed, trace_seed);
    }
}

#[test]
fn a_recording_says_its_architecture() {
    let whole = String::from_utf8_lossy(&recorded(None)).into_owned();
    let here = Architecture::HERE.label();
    assert!(whole.contains(&format!("\"architecture\":\"{here}\"")), "{whole}");
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let run = RunInfo { architecture: Some(architecture), ..fixtures::run() };
        let bytes = [MAGIC, &serde_json::to_vec(&run).unwrap(), b"\n"].concat();
        assert_eq!(open(&bytes).unwrap().run().architecture, Some(architecture));
    }
    let of_another = serde_json::to_string(&fixtures::run()).unwrap().replace(here, "riscv64");
    match open(&[MAGIC, of_another.as_bytes(), b"\n"].concat()) {
        Err(Error::NotARecording { reason, .. }) => assert!(reason.contains("'riscv64' is not known"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_old_one_is_read_but_for_explain() {
    let begin = [OLD_MAGIC, &serde_json::to_vec(&fixtures::run()).unwrap(), b"\n"].concat();
    assert_eq!(read(&[&begin[..], &records()].concat()).0, 3);
    let explained = [&begin[..], &Event::Explained("").to_record()].concat();
    let error = open(&explained).unwrap().next_event().unwrap_err();
    assert!(error.to_string().contains("another version of cargo beyla wrote it, with --explain"), "{error}");
}

/// Older versions did not write the architecture. Without `--explain` nothing depends on it.
#[test]
fn one_that_does_not_is_refused_where_that_matters() {
    let run = RunInfo { architecture: None, ..fixtures::run() };
    let begin = [MAGIC, &serde_json::to_vec(&run).unwrap(), b"\n"].concat();
    let plain = [&begin[..], &records()].concat();
    assert_eq!(read(&plain).0, 3);
    let explained = [&begin[..], &events()[0].to_record(), &Event::Explained("").to_record()].concat();
    let mut recording = open(&explained).unwrap();
    assert_eq!(recording.next_event().unwrap(), Some(events()[0].clone()));
    let error = recording.next_event().unwrap_err();
    assert!(error.to_string().contains("run.beyla does not say on which architecture it was made"), "{error}");
}
