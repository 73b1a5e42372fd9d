//! What holds for any messages, however their bytes move.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::event_builder::EventBuilder;
use crate::model::request::Outcome;
use crate::model::summary::Unseen;
use crate::transport::segment::Direction;

/// A request, its response, and what is to be said of them.
#[derive(Clone, Debug)]
struct Exchange {
    request: Vec<u8>,
    response: Vec<u8>,
    expected: Expected,
}

/// Method, path, status, body of the request, body of the response.
type Expected = (String, String, Option<u16>, Option<u64>, Option<u64>);

/// How a body is written.
#[derive(Clone, Debug)]
enum Content {
    None,
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>, bool),
}

impl Content {
    fn size(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Length(bytes) => bytes.len(),
            Self::Chunks(chunks, _) => chunks.iter().map(Vec::len).sum(),
        }
    }

    /// Behind the fields that are there already.
    fn write(&self, head: &str) -> Vec<u8> {
        match self {
            Self::None => [head, "\r\n"].concat().into(),
            Self::Length(bytes) => {
                [format!("{head}Content-Length: {}\r\n\r\n", bytes.len()).as_bytes(), bytes].concat()
            }
            Self::Chunks(chunks, odd) => {
                let mut all = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
                for chunk in chunks {
                    let extension = if *odd { ";a=\"b\"" } else { "" };
                    all.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
                    all.extend_from_slice(chunk);
                    all.extend_from_slice(b"\r\n");
                }
                let trailer = if *odd { "X-Sum: 1\r\n" } else { "" };
                all.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
                all
            }
        }
    }
}

/// Bodies that look like messages, too.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        select(vec![&b"GET / HTTP/1.1\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n0\r\n\r\n", b"5\r\nabc"])
            .prop_map(<[u8]>::to_vec),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        body().prop_map(Content::Length),
        (vec(body().prop_filter("the last chunk", |body| !body.is_empty()), 0..5), any::<bool>())
            .prop_map(|(chunks, odd)| Content::Chunks(chunks, odd)),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let request_content = prop_oneof![Just(Content::None), content()];
    let method = select(vec!["GET", "HEAD", "POST", "DELETE", "M-SEARCH"]);
    let status = select(vec![200u16, 204, 304, 404, 500]);
    let blank_lines = select(vec!["", "", "\r\n", "\n\r\n"]);
    let expect = select(vec!["", "Expect: 100-continue\r\n"]);
    (method, "/[a-z0-9%/]{0,20}", request_content, status, content(), 0..3usize, (blank_lines, expect)).prop_map(
        |(method, path, request, status, response, interim, (blank, expect))| {
            let written = request.write(&format!("{blank}{method} {path} HTTP/1.1\r\nHost: x\r\n{expect}"));
            let bodiless = method == "HEAD" || matches!(status, 204 | 304);
            let mut answer = "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n".repeat(interim).into_bytes();
            let head = format!("HTTP/1.1 {status} Reason\r\nServer: y\r\n");
            let size = if bodiless {
                answer.extend_from_slice(format!("{head}Content-Length: 5\r\n\r\n").as_bytes());
                0
            } else {
                answer.extend_from_slice(&response.write(&head));
                response.size()
            };
            Exchange {
                request: written,
                response: answer,
                expected: (method.into(), path, Some(status), Some(request.size() as u64), Some(size as u64)),
            }
        },
    )
}

/// An upload that is refused before any of it has come, and sent all the same or left out.
fn refused() -> impl Strategy<Value = (Content, bool)> {
    // What is sent after the refusal and begins as a request does is taken for one.
    let body = vec(any::<u8>(), 1..300).prop_filter("a request", |body| !body.windows(6).any(|part| part == b" HTTP/"));
    let content = prop_oneof![
        body.clone().prop_map(Content::Length),
        vec(body, 0..4).prop_map(|chunks| Content::Chunks(chunks, false)),
    ];
    (content, any::<bool>())
}

/// A message with long content; its framing is captured.
#[derive(Clone, Debug)]
struct Framed {
    /// The length of its content, or those of its chunks.
    lengths: Vec<usize>,
    is_chunked: bool,
    /// Whether the end of the line behind the data of a chunk is captured.
    ends_are_captured: bool,
}

impl Framed {
    fn size(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Behind the start line; and what of it is not captured.
    fn write(&self, line: &str) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
        let mut bytes = line.as_bytes().to_vec();
        let mut content = Vec::new();
        if !self.is_chunked {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.size()).as_bytes());
            content.push(bytes.len()..bytes.len() + self.size());
            bytes.resize(bytes.len() + self.size(), b'x');
            return (bytes, content);
        }
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for &length in &self.lengths {
            bytes.extend_from_slice(format!("{length:x}\r\n").as_bytes());
            let end = bytes.len() + length;
            content.push(bytes.len()..end + if self.ends_are_captured { 0 } else { 2 });
            bytes.resize(end, b'x');
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        (bytes, content)
    }
}

fn framed() -> impl Strategy<Value = Framed> {
    (vec(prop_oneof![1..40usize, 1..60_000usize], 0..4), any::<bool>(), any::<bool>())
        .prop_map(|(lengths, is_chunked, ends_are_captured)| Framed { lengths, is_chunked, ends_are_captured })
}

/// Moves the bytes of exchanges in operations of any size, the directions in any order; but no response before its
/// request is whole. Each operation is captured in pieces of a size.
fn in_operations(exchanges: &[Exchange], steps: &[(bool, usize, usize)]) -> EventBuilder {
    let mut events = EventBuilder::with_connection();
    let mut requests = Vec::new();
    let mut responses = Vec::new();
    // Pairs: after this many bytes of requests, that many bytes of responses may have been sent.
    let mut due = vec![(0, 0)];
    for exchange in exchanges {
        requests.extend_from_slice(&exchange.request);
        responses.extend_from_slice(&exchange.response);
        due.push((requests.len(), responses.len()));
    }
    let (mut received, mut sent) = (0, 0);
    let rest = [(true, usize::MAX, usize::MAX), (false, usize::MAX, usize::MAX)];
    for &(up, length, piece) in steps.iter().chain(&rest) {
        let (direction, bytes, from, until) = if up {
            (Direction::Request, &requests, &mut received, requests.len())
        } else {
            let until = due.iter().rev().find(|(whole, _)| *whole <= received);
            (Direction::Response, &responses, &mut sent, until.map_or(0, |(_, until)| *until))
        };
        let end = from.saturating_add(length).min(until);
        if end > *from {
            let bytes = &bytes[*from..end];
            let pieces =
                (0..bytes.len()).step_by(piece).map(|start| start..bytes.len().min(start.saturating_add(piece)));
            events.transfer_in_pieces(direction, 1, bytes, &pieces.collect::<Vec<_>>());
            *from = end;
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_requests(
        exchanges in vec(exchange(), 1..8),
        steps in vec(
            (any::<bool>(), prop_oneof![Just(1), 1..50usize, 1..2000usize], prop_oneof![1..50usize, Just(usize::MAX)]),
            0..150,
        ),
    ) {
        let summary = in_operations(&exchanges, &steps).summary();
        let found: Vec<Expected> = summary.requests.iter().map(|request| (
            request.method.to_string(),
            request.path.to_string(),
            request.status,
            request.request_bytes.body,
            request.response_bytes.and_then(|bytes| bytes.body),
        )).collect();
        let expected: Vec<Expected> = exchanges.into_iter().map(|exchange| exchange.expected).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(summary.requests.iter().all(|request| request.outcome == Outcome::Complete));
        prop_assert_eq!(summary.unseen, Unseen::default());
    }

    #[test]
    fn a_body_has_its_size_where_its_framing_was_captured(
        messages in vec((framed(), framed()), 1..4),
        operations in vec(prop_oneof![1..40usize, 1..40_000usize], 1..20),
    ) {
        let mut events = EventBuilder::with_connection();
        let mut operations = operations.iter().cycle();
        for (request, response) in &messages {
            for (direction, line, framed) in [
                (Direction::Request, "PUT / HTTP/1.1\r\n", request),
                (Direction::Response, "HTTP/1.1 200 OK\r\n", response),
            ] {
                let (bytes, content) = framed.write(line);
                let mut from = 0;
                while from < bytes.len() {
                    let to = bytes.len().min(from + operations.next().expect("a cycle"));
                    let is_content = |at: &usize| content.iter().any(|content| content.contains(&(from + at)));
                    let captured: Vec<usize> = (0..to - from).filter(|at| !is_content(at)).collect();
                    let pieces = captured.chunk_by(|a, b| a + 1 == *b).map(|piece| piece[0]..piece[piece.len() - 1] + 1);
                    let pieces: Vec<_> = pieces.collect();
                    events.transfer_in_pieces(direction, 1, &bytes[from..to], &pieces);
                    from = to;
                }
            }
        }
        let summary = events.summary();
        let found: Vec<_> = summary.requests.iter().map(|request| (
            request.outcome,
            request.request_bytes.body,
            request.response_bytes.and_then(|bytes| bytes.body),
        )).collect();
        let expected: Vec<_> = messages.iter().map(|(request, response)| {
            (Outcome::Complete, Some(request.size() as u64), Some(response.size() as u64))
        }).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(summary.unseen, Unseen::default());
    }

    #[test]
    fn refused_content_is_told_from_what_follows_it(
        exchanges in vec((refused(), exchange()), 1..5),
        pieces in vec(prop_oneof![Just(1), 1..50usize, Just(usize::MAX)], 1..20),
    ) {
        // Empty lines as long as the content that is left out, or longer, can be taken for it; so can all that precedes
        // what looks like a request, if that is as long.
        let is_ambiguous = |((content, omitted), next): &((Content, bool), Exchange)| {
            let blank = next.request.iter().take_while(|byte| b"\r\n".contains(byte)).count();
            let follows = |length: usize| {
                let rest = next.request.get(length..).unwrap_or_default();
                let blank = rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
                rest[blank..].starts_with(b"GET / HTTP/1.1")
            };
            *omitted
                && matches!(content, Content::Length(bytes) if bytes.len() <= blank || follows(bytes.len()))
        };
        prop_assume!(!exchanges.iter().any(is_ambiguous));
        let mut events = EventBuilder::with_connection();
        let mut pieces = pieces.iter().cycle();
        let mut expected: Vec<Expected> = Vec::new();
        for ((content, omitted), next) in &exchanges {
            let written = content.write("PUT /up HTTP/1.1\r\nExpect: 100-continue\r\n");
            let head = 4 + written.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
            events.receive(1, &written[..head]).send(1, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
            let mut rest = if *omitted { vec![] } else { written[head..].to_vec() };
            rest.extend_from_slice(&next.request);
            while !rest.is_empty() {
                let piece = rest.drain(..rest.len().min(*pieces.next().expect("a cycle"))).collect::<Vec<_>>();
                events.receive(1, piece);
            }
            events.send(1, &next.response);
            let size = if *omitted { 0 } else { content.size() as u64 };
            expected.push(("PUT".into(), "/up".into(), Some(413), Some(size), Some(0)));
            expected.push(next.expected.clone());
        }
        let summary = events.summary();
        let found: Vec<Expected> = summary.requests.iter().map(|request| (
            request.method.to_string(),
            request.path.to_string(),
            request.status,
            request.request_bytes.body,
            request.response_bytes.and_then(|bytes| bytes.body),
        )).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(summary.unseen, Unseen::default());
    }

    #[test]
    fn what_is_not_captured_costs_at_most_the_size_of_a_chunked_body(
        // Behind a body whose framing was lost, the next request is known by its first line, in one piece.
        bodies in vec((1..150_000usize, any::<bool>(), 1..40_000usize, "PUT / HTTP/1.1\r\n".len()..60_000), 1..5),
    ) {
        let mut events = EventBuilder::with_connection();
        for &(length, chunked, chunk, piece) in &bodies {
            let body = vec![b'x'; length];
            let content = if chunked {
                Content::Chunks(body.chunks(chunk).map(<[u8]>::to_vec).collect(), false)
            } else {
                Content::Length(body)
            };
            for bytes in content.write("PUT / HTTP/1.1\r\n").chunks(piece) {
                events.receive(1, bytes);
            }
            for bytes in content.write("HTTP/1.1 200 OK\r\n").chunks(piece) {
                events.send(1, bytes);
            }
        }
        events.server_closes(1).over(1);
        let summary = events.summary();
        prop_assert_eq!(summary.requests.len(), bodies.len());
        for (request, (length, chunked, ..)) in summary.requests.iter().zip(bodies) {
            prop_assert_eq!(request.outcome, Outcome::Complete);
            for size in [request.request_bytes.body, request.response_bytes.and_then(|bytes| bytes.body)] {
                prop_assert!(size == Some(length as u64) || (chunked && size.is_none()), "{size:?} {length}");
            }
        }
        prop_assert_eq!(summary.unseen, Unseen::default());
    }
}
