//! What the kernel side captures of frames: of HTTP/2 the header of each, wherever the calls tear it, and what its reader
//! needs of the payload; of a chunked body of HTTP/1 each size line; of a long head all. The truth is what was sent.

use std::path::Path;

use beyla_tests::both::{both_ways, each_way};
use beyla_tests::bulk::{self, BULK_SERVER};
use beyla_tests::fixture;
use beyla_tests::frames::{DATA, HEADERS, SETTINGS, WINDOW_UPDATE, frame};
use beyla_tests::odd::ODD_SERVER;
use beyla_tests::report::{Report, Request};
use beyla_tests::run::Run;
use cargo_beyla_events::{CAPTURED_PIECES, Header, OUT_OF_STEP, Piece, Transfer, kind};
use zerocopy::FromBytes;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Captured of each payload of DATA, at the least.
const FIRST: usize = 16;

/// What was received on each connection, in the order of their first records: the bytes that are known.
fn received(recording: &Path) -> Vec<Vec<Option<u8>>> {
    let bytes = std::fs::read(recording).expect("a recording");
    // A line that names the format, and one about the run.
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut rest = lines.nth(2).expect("records");
    let mut streams: Vec<(u64, Vec<Option<u8>>)> = Vec::new();
    while let Ok((header, _)) = Header::read_from_prefix(rest) {
        let record;
        (record, rest) = rest.split_at(header.size as usize);
        if header.kind != kind::RECEIVE {
            continue;
        }
        assert_eq!(header.flags & OUT_OF_STEP, 0);
        let (transfer, mut captured) = Transfer::read_from_prefix(record).expect("a whole record");
        let index = streams.iter().position(|(id, _)| *id == header.connection).unwrap_or_else(|| {
            streams.push((header.connection, Vec::new()));
            streams.len() - 1
        });
        let stream = &mut streams[index].1;
        let begin = stream.len();
        stream.resize(begin + transfer.length as usize, None);
        if header.flags & CAPTURED_PIECES == 0 {
            fill(&mut stream[begin..], captured);
            continue;
        }
        while let Ok((piece, after)) = Piece::read_from_prefix(captured) {
            let (offset, length) = (piece.offset as usize, piece.length as usize);
            fill(&mut stream[begin + offset..], &after[..length]);
            captured = &after[length.next_multiple_of(8)..];
        }
    }
    streams.into_iter().map(|(_, stream)| stream).collect()
}

fn fill(stream: &mut [Option<u8>], bytes: &[u8]) {
    for (place, byte) in stream.iter_mut().zip(bytes) {
        *place = Some(*byte);
    }
}

/// What is known is what was sent, and all is known that a reader needs.
fn check(sent: &[u8], known: &[Option<u8>]) {
    assert_eq!(known.len(), sent.len());
    assert!(known.iter().zip(sent).all(|(known, sent)| known.is_none_or(|known| known == *sent)));
    assert!(known[..PREFACE.len()].iter().all(Option::is_some));
    let mut at = PREFACE.len();
    while at < sent.len() {
        let length = u32::from_be_bytes([0, sent[at], sent[at + 1], sent[at + 2]]) as usize;
        let needed = if sent[at + 3] == DATA { length.min(FIRST) } else { length };
        assert!(known[at..at + 9 + needed].iter().all(Option::is_some), "the frame at {at} of {}", sent.len());
        at += 9 + length;
    }
}

/// The server reads what each connection sends, in the parts that `tear` makes of it.
fn captures(
    sent: &[u8],
    connections: usize,
    tear: impl Fn(usize, &[u8]) -> Vec<Vec<u8>>,
    judge: impl Fn(&[Option<u8>]),
) {
    both_ways(|capture| {
        let folder = fixture::folder(&[]);
        let recording = folder.path().join("recording");
        let steps = ["--listen".into(), "tcp4".into(), "--".into(), format!("body:{}", sent.len()), "send:x".into()];
        let run =
            Run::of(ODD_SERVER, capture).flags(["--record".as_ref(), recording.as_os_str()]).arguments(&steps).start();
        for connection in 0..connections {
            let mut client = run.connect();
            for part in tear(connection, sent) {
                client.send(part);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            assert_eq!(client.exactly(1), b"x");
        }
        let report = run.stop();
        let received = received(&recording);
        assert_eq!(received.len(), connections);
        for known in &received {
            check(sent, known);
            judge(known);
        }
        report
    });
}

fn exchange() -> Vec<u8> {
    [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, []),
        frame(HEADERS, 0, 1, [0x83, 0x84, 0x86, 0x41, 0x01, 0x61]),
        frame(DATA, 0, 1, [b'a'; 30]),
        frame(DATA, 0, 1, []),
        frame(WINDOW_UPDATE, 0, 0, [0, 0, 0x10, 0]),
    ]
    .concat()
}

#[test]
fn frames_torn_at_every_byte() {
    let sent = exchange();
    let tear = |connection: usize, sent: &[u8]| match connection {
        0 => sent.chunks(1).map(<[u8]>::to_vec).collect(),
        cut => vec![sent[..cut].to_vec(), sent[cut..].to_vec()],
    };
    captures(&sent, sent.len(), tear, |known| assert!(known.iter().all(Option::is_some)));
}

#[test]
fn bulk_transfers_cost_little() {
    let mut sent = exchange();
    for _ in 0..500 {
        sent.extend(frame(DATA, 0, 3, [b'b'; 16 * 1024]));
    }
    sent.extend(frame(HEADERS, 0, 5, [0x83, 0x84, 0x86, 0x41, 0x01, 0x61]));
    let whole = sent.len();
    let judge = |known: &[Option<u8>]| assert!(known.iter().flatten().count() < whole / 3);
    captures(&sent, 1, |_, sent| vec![sent.to_vec()], judge);
}

const MIB: u64 = 1024 * 1024;

/// The sizes of the bodies of each request of a path, request and response, in their order.
fn bodies<'a>(report: &'a Report, path: &'a str) -> Vec<(Option<u64>, Option<u64>)> {
    let body = |request: &Request| {
        assert_eq!((request.outcome.as_str(), request.status), ("complete", Some(200)), "{request:?}");
        (request.request_bytes.body, request.response_bytes.expect("a response").body)
    };
    report.of_path(path).map(body).collect()
}

#[test]
fn bulk_transfers_and_small_requests_share_a_connection() {
    const SIZE: u64 = 64 * MIB;
    const SMALL: u64 = 200;
    let reports = each_way(|capture| {
        let run = Run::of(BULK_SERVER, capture).start();
        bulk::both_ways_at_once(run.port, SIZE as usize, SMALL as usize);
        run.stop()
    });
    for report in reports {
        assert_eq!((report.totals.requests, report.totals.connections), (SMALL + 2, 1));
        assert_eq!((report.totals.errors, report.totals.incomplete), (0, 0));
        // A busy CPU may meet a probe while it is inside one already; what that left out would be missing below.
        assert!(report.unseen.keys().all(|kind| kind == "skipped_probes"), "{:?}", report.unseen);
        assert!(report.requests.iter().all(|request| request.protocol == "http/2"));
        assert_eq!(bodies(&report, "/up"), [(Some(SIZE), Some(8))]);
        assert_eq!(bodies(&report, &format!("/down/{SIZE}/65536")), [(Some(0), Some(SIZE))]);
        for length in 0..SMALL {
            assert_eq!(bodies(&report, &format!("/down/{length}/65536")), [(Some(0), Some(length))]);
        }
    }
}

#[test]
fn chunked_downloads_have_their_size() {
    let sizes = [(100, 7), (100_000, 5000), (3 * MIB, 1000), (4 * MIB, 65_536), (4 * MIB, MIB)];
    let paths = sizes.map(|(size, chunk)| (format!("/down/{size}/{chunk}"), size));
    both_ways(|capture| {
        let run = Run::of(BULK_SERVER, capture).start();
        let mut client = run.connect();
        for (path, _) in &paths {
            client.get(path);
            client.get("/head/0");
        }
        let report = run.stop();
        for (path, size) in &paths {
            assert_eq!(bodies(&report, path), [(Some(0), Some(*size))], "{path}");
        }
        assert_eq!(bodies(&report, "/head/0"), vec![(Some(0), Some(100_000)); paths.len()]);
        report
    });
}

/// A request with a chunked body, and the size of that.
fn chunked(name: &str, chunks: &[usize]) -> (Vec<u8>, u64) {
    let mut message = format!("POST /up?{name} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks {
        message.extend(format!("{chunk:X};a=b\r\n").into_bytes());
        message.resize(message.len() + chunk, b'y');
        message.extend(b"\r\n");
    }
    message.extend(b"0\r\na: trailer\r\n\r\n");
    (message, chunks.iter().sum::<usize>() as u64)
}

#[test]
fn chunked_uploads_have_their_size() {
    let large = [8192; 400];
    let uneven = [100, 200, 300_000, 5, 7, 400_000];
    both_ways(|capture| {
        let run = Run::of(BULK_SERVER, capture).start();
        for (part, chunks) in [(4096, &[3000; 1000][..]), (65_536, &[100_000; 50]), (1460, &uneven), (100_000, &large)]
        {
            let (message, size) = chunked(&part.to_string(), chunks);
            let mut client = run.connect();
            let response = client.send_in_parts(message, part).response();
            assert_eq!(response.body, size.to_string().into_bytes());
            // What follows is read as well.
            client.get("/head/0");
        }
        let report = run.stop();
        let sizes = [3_000_000, 5_000_000, 700_312, 8192 * 400].map(|size| (Some(size), Some(7)));
        let mut expected = sizes.to_vec();
        expected[2].1 = Some(6);
        assert_eq!(bodies(&report, "/up"), expected);
        assert_eq!(bodies(&report, "/head/0").len(), 4);
        report
    });
}

#[test]
fn a_head_of_up_to_16_kib_is_read_before_a_body() {
    let sizes = [7000, 9000, 12_000, 16_000];
    both_ways(|capture| {
        let run = Run::of(BULK_SERVER, capture).start();
        let mut client = run.connect();
        for size in sizes {
            client.get(&format!("/head/{size}"));
        }
        let report = run.stop();
        for size in sizes {
            let path = format!("/head/{size}");
            assert_eq!(bodies(&report, &path), [(Some(0), Some(100_000))]);
            assert!(
                report.of_path(&path).all(|request| request.response_bytes.is_some_and(|bytes| bytes.header > size))
            );
        }
        report
    });
}
