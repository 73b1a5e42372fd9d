//! However the bytes are moved and captured, the same requests are found.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// What a client or a server does next.
#[derive(Clone, Debug)]
enum Step {
    Get,
    Post,
    Data { stream: Index, length: usize, padding: Option<u8>, ends: bool },
    Respond { stream: Index, ends: bool },
    Answer { stream: Index, length: usize, ends: bool },
    Interim { stream: Index },
    Trailers { stream: Index },
    Reset { stream: Index, by_client: bool },
    Ping { by_client: bool },
    GoAway,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = any::<Index>;
    prop_oneof![
        3 => Just(Step::Get),
        3 => Just(Step::Post),
        4 => (stream(), 0usize..200, any::<Option<u8>>(), any::<bool>()).prop_map(|(stream, length, padding, ends)| Step::Data { stream, length, padding, ends }),
        4 => (stream(), any::<bool>()).prop_map(|(stream, ends)| Step::Respond { stream, ends }),
        4 => (stream(), 0usize..200, any::<bool>()).prop_map(|(stream, length, ends)| Step::Answer { stream, length, ends }),
        1 => stream().prop_map(|stream| Step::Interim { stream }),
        1 => stream().prop_map(|stream| Step::Trailers { stream }),
        1 => (stream(), any::<bool>()).prop_map(|(stream, by_client)| Step::Reset { stream, by_client }),
        1 => any::<bool>().prop_map(|by_client| Step::Ping { by_client }),
        1 => Just(Step::GoAway),
    ]
}

/// The frames of the steps, each with its direction and where the content of a DATA frame lies behind its first bytes.
fn frames(steps: &[Step]) -> Vec<(Direction, Vec<u8>, Option<usize>)> {
    let mut opened = 0u32;
    let mut all = vec![
        (REQUEST, PREFACE.to_vec(), None),
        (REQUEST, frame(4, 0, 0, b""), None),
        (RESPONSE, frame(4, 0, 0, b""), None),
    ];
    for step in steps {
        let of = |stream: &Index| 2 * stream.index(opened.max(1) as usize) as u32 + 1;
        let end = |ends: &bool| if *ends { END_STREAM } else { 0 };
        match step {
            Step::Get | Step::Post => {
                let stream = 2 * opened + 1;
                opened += 1;
                // Added to the table the first time, referred to from then on.
                let path = if opened == 1 { b"\x44\x03/ab".to_vec() } else { vec![0xbe] };
                let method = if matches!(step, Step::Get) { 0x82 } else { 0x83 };
                let flags = if matches!(step, Step::Get) { END_STREAM } else { 0 };
                let block = [vec![method], path].concat();
                all.push((REQUEST, frame(1, flags, stream, &block[..1]), None));
                all.push((REQUEST, frame(9, END_HEADERS, stream, &block[1..]), None));
            }
            Step::Data { stream, length, padding, ends } => {
                let content = vec![b'c'; *length];
                let frame = match padding {
                    Some(padding) => {
                        let payload = [&[*padding][..], &content, &vec![0; (*padding).into()]].concat();
                        frame(0, PADDED | end(ends), of(stream), &payload)
                    }
                    None => frame(0, end(ends), of(stream), &content),
                };
                all.push((REQUEST, frame, Some(9 + 16)));
            }
            Step::Respond { stream, ends } => all.push((RESPONSE, status(HEAD | end(ends), of(stream), "200"), None)),
            Step::Answer { stream, length, ends } => {
                all.push((RESPONSE, data(end(ends), of(stream), &vec![b'c'; *length]), Some(9 + 16)));
            }
            Step::Interim { stream } => all.push((RESPONSE, status(HEAD, of(stream), "103"), None)),
            Step::Trailers { stream } => all.push((RESPONSE, headers(ONLY, of(stream), &[("x", "y")]), None)),
            Step::Reset { stream, by_client } => {
                all.push((if *by_client { REQUEST } else { RESPONSE }, reset(of(stream)), None));
            }
            Step::Ping { by_client } => {
                all.push((if *by_client { REQUEST } else { RESPONSE }, frame(6, 0, 0, &[0; 8]), None));
            }
            Step::GoAway => all.push((RESPONSE, frame(7, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]), None)),
        }
    }
    all
}

/// Turns: the bytes that one end sends until the other does, and which of them are captured.
fn turns(frames: Vec<(Direction, Vec<u8>, Option<usize>)>) -> Vec<(Direction, Vec<u8>, Vec<bool>)> {
    let mut turns: Vec<(Direction, Vec<u8>, Vec<bool>)> = Vec::new();
    for (direction, frame, captured) in frames {
        if turns.last().is_none_or(|(last, ..)| *last != direction) {
            turns.push((direction, Vec::new(), Vec::new()));
        }
        let (_, bytes, known) = turns.last_mut().expect("a turn");
        known.extend((0..frame.len()).map(|at| captured.is_none_or(|captured| at < captured)));
        bytes.extend(frame);
    }
    turns
}

/// Moves the bytes in calls of these lengths, and captures them all, or what the kernel would.
fn found(turns: &[(Direction, Vec<u8>, Vec<bool>)], lengths: &[usize], with_holes: bool, limit: usize) -> Wire {
    let mut wire = Wire::new(Http2::default());
    let mut lengths = lengths.iter().cycle();
    let mut left = limit;
    for (direction, bytes, known) in turns {
        let mut from = 0;
        while from < bytes.len() && left > 0 {
            let length = (*lengths.next().expect("a length")).min(bytes.len() - from).min(left);
            let (bytes, known) = (&bytes[from..from + length], &known[from..from + length]);
            let mut pieces: Vec<(usize, usize)> = Vec::new();
            for at in (0..length).filter(|&at| !with_holes || known[at]) {
                match pieces.last_mut() {
                    Some((_, end)) if *end == at => *end += 1,
                    _ => pieces.push((at, at + 1)),
                }
            }
            wire.call_with_holes(*direction, bytes, &pieces);
            from += length;
            left -= length;
        }
    }
    wire
}

proptest! {
    #[test]
    fn any_split_gives_the_same_requests(
        steps in proptest::collection::vec(step(), 0..40),
        lengths in proptest::collection::vec(1usize..80, 1..20),
    ) {
        let turns = turns(frames(&steps));
        let whole = found(&turns, &[usize::MAX], false, usize::MAX);
        for with_holes in [false, true] {
            let split = found(&turns, &lengths, with_holes, usize::MAX);
            prop_assert_eq!(&split.found.lines, &whole.found.lines);
            prop_assert_eq!(split.http2.streams.len(), whole.http2.streams.len());
        }
    }

    #[test]
    fn it_may_end_anywhere(
        steps in proptest::collection::vec(step(), 0..20),
        lengths in proptest::collection::vec(1usize..80, 1..20),
        limit in 0usize..2000,
    ) {
        let turns = turns(frames(&steps));
        let whole = found(&turns, &[usize::MAX], false, usize::MAX).found.lines;
        let part = found(&turns, &lengths, true, limit).found.lines;
        prop_assert_eq!(&part[..], &whole[..part.len()]);
    }

    #[test]
    fn any_bytes_are_read(
        calls in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..100), 0usize..100), 1..30),
        steps in proptest::collection::vec(step(), 0..10),
        joined in any::<bool>(),
    ) {
        let mut wire = Wire::new(if joined { Http2::joined() } else { Http2::default() });
        for (direction, bytes, _) in turns(frames(&steps)) {
            wire.call(direction, &bytes);
        }
        for (by_client, bytes, hidden) in calls {
            let direction = if by_client { REQUEST } else { RESPONSE };
            if hidden % 7 == 0 {
                wire.gap(direction, &bytes);
            } else {
                wire.call_with_holes(direction, &bytes, &[(hidden.min(bytes.len()), bytes.len())]);
            }
        }
    }
}
