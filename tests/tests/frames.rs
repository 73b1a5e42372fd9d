//! What the kernel side captures of HTTP/2: the header of each frame, wherever the calls tear it, and what its reader
//! needs of the payload. The truth is what the client sent.

use std::path::Path;

use beyla_tests::both::both_ways;
use beyla_tests::fixture;
use beyla_tests::odd::ODD_SERVER;
use beyla_tests::run::Run;
use cargo_beyla_events::{CAPTURED_PIECES, Header, OUT_OF_STEP, Piece, Transfer, kind};
use zerocopy::FromBytes;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// Captured of each payload of DATA, at the least.
const FIRST: usize = 16;

fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

/// What was received on each connection, in the order of their first records: the bytes that are known.
fn received(recording: &Path) -> Vec<Vec<Option<u8>>> {
    let bytes = std::fs::read(recording).unwrap();
    // A line that names the format, and one about the run.
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut rest = lines.nth(2).unwrap();
    let mut streams: Vec<(u64, Vec<Option<u8>>)> = Vec::new();
    while let Ok((header, _)) = Header::read_from_prefix(rest) {
        let record;
        (record, rest) = rest.split_at(header.size as usize);
        if header.kind != kind::RECEIVE {
            continue;
        }
        assert_eq!(header.flags & OUT_OF_STEP, 0);
        let (transfer, mut captured) = Transfer::read_from_prefix(record).unwrap();
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
        frame(SETTINGS, 0, &[]),
        frame(HEADERS, 1, &[0x83, 0x84, 0x86, 0x41, 0x01, 0x61]),
        frame(DATA, 1, &[b'a'; 30]),
        frame(DATA, 1, &[]),
        frame(WINDOW_UPDATE, 0, &[0, 0, 0x10, 0]),
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
        sent.extend(frame(DATA, 3, &[b'b'; 16 * 1024]));
    }
    sent.extend(frame(HEADERS, 5, &[0x83, 0x84, 0x86, 0x41, 0x01, 0x61]));
    let whole = sent.len();
    let judge = |known: &[Option<u8>]| assert!(known.iter().flatten().count() < whole / 3);
    captures(&sent, 1, |_, sent| vec![sent.to_vec()], judge);
}
