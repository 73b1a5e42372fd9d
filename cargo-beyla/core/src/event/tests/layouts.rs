//! How records stand in memory: recordings of before hold them like this.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::model::test::{TestId, TestResult};

/// A record of this kind with these words and bytes after its header.
fn record(kind: u16, flags: u16, time_ns: u64, words: &[u32], text: &str) -> Vec<u8> {
    let size = size_of::<Header>() + size_of_val(words) + text.len();
    let header = Header { kind, flags, size: size as u32, time_ns, connection: 0 };
    [header.as_bytes(), words.as_bytes(), text.as_bytes()].concat()
}

/// Two words of a number.
fn long(number: u64) -> [u32; 2] {
    zerocopy::transmute!(number)
}

#[test]
fn what_the_tool_writes_itself_stays_as_it_was() {
    let test = TestId(5);
    let frames = [Frame { function: "f".into(), source: Some(("a.rs".into(), 3)), whose: Whose::Workspace }];
    let started = TestStarted { time_ns: 9, test, pid: 77, round: 2, binary: "shop::api", name: "users::all" };
    let ended = |result, reason| Event::TestEnded(TestEnded { time_ns: 9, test, result: Some(result), reason });
    for (event, expected) in [
        (
            Event::Lost(Lost { records: 1, connections: 2, skipped: 3, failed_reads: 4, out_of_step: 5 }),
            record(100, 0, 0, &[long(1), long(2), long(3), long(4), long(5)].concat(), ""),
        ),
        (Event::Ready("socket 4096\nnothing"), record(101, 0, 0, &[], "socket 4096\nnothing")),
        (Event::Failed("no"), record(102, 0, 0, &[], "no")),
        (Event::Stopping(Moment { time_ns: 9 }), record(103, 0, 9, &[], "")),
        (
            Event::UnwoundStack(UnwoundStack {
                time_ns: 9,
                occasion: 2,
                thread: 4,
                stack: 6,
                lock: true,
                task: 7,
                process: 8,
            }),
            record(104, 2, 9, &[4, 6, 1, 8, 7, 0], ""),
        ),
        (
            Event::StackFrames(StackFrames { stack: 6, frames: frames[..].into() }),
            record(105, 0, 0, &long(6), "1\tf\ta.rs\t3"),
        ),
        (Event::TaskType(TaskType { vtable: 1 << 40, name: "a::b" }), record(106, 0, 0, &long(1 << 40), "a::b")),
        (Event::Explained("no places"), record(107, 0, 0, &[], "no places")),
        (Event::AutoExplained("no places"), record(111, 0, 0, &[], "no places")),
        (Event::WindowOpened(Moment { time_ns: 9 }), record(112, 0, 9, &[], "")),
        (Event::WindowClosed(Moment { time_ns: 9 }), record(113, 0, 9, &[], "")),
        (Event::SpawnsUnseen("no symbols"), record(110, 0, 0, &[], "no symbols")),
        (Event::CallsUnseen("no symbols"), record(114, 0, 0, &[], "no symbols")),
        (Event::TestStarted(started), record(108, 0, 9, &[5, 77, 2, 0], "shop::api\nusers::all")),
        (ended(TestResult::Passed, ""), record(109, 0, 9, &[5, 1, 0, 0], "")),
        (ended(TestResult::Failed(101), ""), record(109, 0, 9, &[5, 2, 101, 0], "")),
        (ended(TestResult::Killed(9), ""), record(109, 0, 9, &[5, 3, 9, 0], "")),
        (ended(TestResult::TimedOut, "60 s"), record(109, 0, 9, &[5, 4, 0, 0], "60 s")),
        (ended(TestResult::Unlisted, "it crashed"), record(109, 0, 9, &[5, 5, 0, 0], "it crashed")),
        (Event::Paused(Paused { from_ns: 3, to_ns: 9 }), record(120, 0, 9, &long(3), "")),
    ] {
        assert_eq!(event.to_record(), expected, "{event:?}");
        assert_eq!(Event::decode(&expected), Ok(Some((event, expected.len()))));
    }
}

#[test]
fn frames_whose_lines_all_end_are_read() {
    let bytes = record(105, 0, 0, &long(6), "2\tsleep\t\t\n7\tx\t\t\n1\tx\n\tx\t\t\n\n\u{0}");
    let Ok(Some((Event::StackFrames(StackFrames { stack, frames }), _))) = Event::decode(&bytes) else {
        panic!("no frames")
    };
    let frame = |function: &str, whose| Frame { function: function.into(), source: None, whose };
    assert_eq!((stack, &frames[..]), (6, &[frame("sleep", Whose::System), frame("x", Whose::Library)][..]));
}

#[test]
fn a_test_that_ended_as_nobody_knows_has_no_result() {
    let bytes = record(109, 0, 9, &[5, 77, 0, 0], "");
    let ended = TestEnded { time_ns: 9, test: TestId(5), result: None, reason: "" };
    assert_eq!(Event::decode(&bytes), Ok(Some((Event::TestEnded(ended), bytes.len()))));
}

fn listening(local: records::Endpoint, path: &[u8]) -> String {
    let header = header(kind::LISTEN, size_of::<records::Listen>() + path.len());
    let bytes = [records::Listen { header, local }.as_bytes(), path].concat();
    match Event::decode(&bytes) {
        Ok(Some((Event::Listen(listen), size))) if size == bytes.len() => listen.local.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn endpoints_of_every_family() {
    let v4 = records::Endpoint {
        family: records::AF_INET,
        port: 80,
        address: [127, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        reserved: 0,
    };
    let mut mapped = records::Endpoint { family: records::AF_INET6, ..v4 };
    mapped.address = Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped().octets();
    let v6 = records::Endpoint { address: Ipv6Addr::LOCALHOST.octets(), ..mapped };
    let unix = records::Endpoint { family: records::AF_UNIX, ..Default::default() };
    assert_eq!(listening(v4, b""), "127.0.0.1:80");
    assert_eq!(listening(mapped, b""), "10.1.2.3:80");
    assert_eq!(listening(v6, b""), "[::1]:80");
    assert_eq!(listening(unix, b"/run/a.sock\0\0"), "unix:/run/a.sock");
    assert_eq!(listening(unix, b"\0name\0b\0"), "unix:@name@b");
    assert_eq!(listening(unix, b""), "unix:");
    // As long as no socket's name can be.
    assert_eq!(listening(unix, &[b'x'; 1000]).len(), "unix:".len() + 3 * 108);
}

#[test]
fn a_count_of_what_was_lost_may_be_of_an_older_version() {
    let bytes = record(100, 0, 0, &[long(1), long(2), long(3)].concat(), "");
    let lost = Lost { records: 1, connections: 2, skipped: 3, failed_reads: 0, out_of_step: 0 };
    assert_eq!(Event::decode(&bytes), Ok(Some((Event::Lost(lost), bytes.len()))));
}
