//! Which protocol reads what, with a made-up one beside those that there are.

use super::*;
use crate::event::Captured;
use crate::model::connection::{Endpoint, Party, Role};
use crate::protocol::candidate::likeness;
use crate::protocol::message::{GivenUp, MessageEnd, Note, RequestHead, ResponseHead};
use crate::transport::connection::Connection;
use crate::transport::segment::Io;

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: Lines\r\n\r\n";

/// A request is a line, and a response another.
const LINES: Candidate = Candidate {
    begins: |direction, bytes| match direction {
        Direction::Request => likeness(bytes, b"GET: lines\n"),
        Direction::Response => likeness(bytes, b"+hello\n"),
    },
    resumes: |_, bytes| bytes.starts_with(b"="),
    token: Some("lines"),
    open: |beginning| {
        let streams = [match beginning {
            Beginning::First(held) => held.len() as u64,
            Beginning::Midst => 0,
            Beginning::Upgraded(_) => 1,
        }; 2];
        Box::new(Lines { streams })
    },
};

/// Counts in each direction what has come of it.
#[derive(Debug)]
struct Lines {
    streams: [u64; 2],
}

impl Protocol for Lines {
    fn segment(&mut self, segment: &Segment<'_>, _: &mut Shared, messages: &mut dyn Messages) -> Option<Box<Upgrade>> {
        for _ in segment.beginning().iter().filter(|&&byte| byte == b'\n') {
            let stream = &mut self.streams[usize::from(segment.direction == Direction::Response)];
            let end = MessageEnd::new(Some(*stream), None);
            messages.end(StreamId(*stream), segment.direction, &end);
            *stream += 1;
        }
        None
    }

    fn gap(&mut self, _: Direction, _: u64, _: &mut dyn Messages) {}

    fn awaits_content(&self) -> bool {
        false
    }

    fn announced_content(&self) -> u64 {
        0
    }

    fn response_begun(&self) -> Option<(StreamId, u64)> {
        Some((StreamId(self.streams[1]), 7))
    }

    fn is_reading(&self) -> bool {
        true
    }

    fn stop(&mut self, _: &mut dyn Messages) {}

    fn unfinished(&self, StreamId(stream): StreamId) -> Unfinished {
        Unfinished { request_body: Some(stream), ..Unfinished::UNKNOWN }
    }
}

/// Writes down what it hears.
#[derive(Debug, Default)]
struct Log(Vec<String>);

impl Messages for Log {
    fn client(&mut self, client: Endpoint) {
        self.0.push(format!("client {client}"));
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        self.0.push(format!("{} {}", stream.0, head.method));
    }

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        self.0.push(format!("{} {}", stream.0, head.status.unwrap_or_default()));
    }

    fn end(&mut self, stream: StreamId, direction: Direction, _: &MessageEnd) {
        self.0.push(format!("{} {direction:?} ends", stream.0));
    }

    fn reset(&mut self, stream: StreamId, by: Party, _: u64, _: &Unfinished) {
        self.0.push(format!("{} {by:?} resets", stream.0));
    }

    fn unseen(&mut self, stream: StreamId) {
        self.0.push(format!("{} unseen", stream.0));
    }

    fn unread(&mut self) {
        self.0.push("unread".into());
    }

    fn note(&mut self, note: Note) {
        self.0.push(format!("{note:?}"));
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.0.push(format!("{reason:?}"));
    }
}

/// A connection that the tests speak on.
struct Spoken {
    detector: Detector,
    connection: Connection,
    shared: Shared,
    log: Log,
    ends: [u32; 2],
}

impl Spoken {
    fn on(detector: Detector) -> Self {
        let connection = Connection::new(Role::Server, 0, 0);
        Self { detector, connection, shared: Shared::default(), log: Log::default(), ends: [0, 0] }
    }

    fn say(&mut self, io: Io, bytes: &[u8]) {
        let end = &mut self.ends[usize::from(io == Io::Send)];
        let length = bytes.len() as u32;
        *end += length;
        let transfer = cargo_beyla_events::Transfer { end_sequence: *end, length, ..Default::default() };
        let moved = self.connection.moved(io, &transfer, Captured::first(bytes)).expect("bytes that are new");
        self.detector.segment(&moved.segment, &mut self.shared, &mut self.log);
    }

    /// What the client says, in pieces of a size.
    fn client(&mut self, text: &str, step: usize) -> &mut Self {
        for piece in text.as_bytes().chunks(step) {
            self.say(Io::Receive, piece);
        }
        self
    }

    fn server(&mut self, text: &str, step: usize) -> &mut Self {
        for piece in text.as_bytes().chunks(step) {
            self.say(Io::Send, piece);
        }
        self
    }

    #[track_caller]
    fn heard(&mut self, expected: &[&str]) {
        self.detector.stop(&mut self.log);
        assert_eq!(self.log.0, expected);
    }
}

fn beginning() -> Spoken {
    Spoken::on(Detector::among(&[LINES, http2::CANDIDATE, unsupported::TLS]))
}

const STEPS: [usize; 4] = [1, 2, 5, 1000];

#[test]
fn the_first_bytes_of_the_client_choose() {
    for step in STEPS {
        beginning().client(GET, step).server(OK, step).heard(&["1 GET", "1 Request ends", "1 200", "1 Response ends"]);
        // The line that it is recognised by is its first request. Only the last piece of that is given again.
        let before = (b"GET: lines\n".len() - 1) / step * step;
        let line = format!("{before} Request ends");
        beginning().client("GET: lines\n", step).heard(&[&line]);
        beginning().client("\x16\x03\x01", step).heard(&["Tls"]);
        let head = "\0\0\x16\x01\x05\0\0\0\x01\0\x07:method\x03GET\0\x05:path\x01/";
        let text = ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", head].concat();
        beginning().client(&text, step).heard(&["1 GET", "1 Request ends"]);
        beginning().client("PRI * HTTP/3.0\r\n\r\n", step).heard(&["Unreadable"]);
        beginning().client("\0\0\0\x08", step).heard(&["Unreadable"]);
        beginning().client("G", step).heard(&[]);
    }
}

#[test]
fn the_first_bytes_of_the_server_choose_where_it_speaks_first() {
    beginning().server("+hello\n", 7).client("a\n", 1).heard(&["0 Response ends", "0 Request ends"]);
    beginning().server("220 ready\r\n", 1).client(GET, 100).heard(&["Unreadable"]);
}

#[test]
fn a_proxy_may_stand_before_any_protocol() {
    for step in STEPS {
        let proxied = |text| ["PROXY TCP4 192.0.2.7 192.0.2.1 50001 443\r\n", text].concat();
        let client = "client 192.0.2.7:50001";
        beginning().client(&proxied("\x16\x03"), step).heard(&[client, "Tls"]);
        beginning().client(&proxied(GET), step).heard(&[client, "1 GET", "1 Request ends"]);
        // There is one proxy at most.
        beginning().client(&proxied(&proxied("")), step).heard(&[client, "Unreadable"]);
    }
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 50001 443\r\n";
    let mut apart = beginning();
    apart.client(header, 100).client("GET: lines\n", 100).heard(&["client 192.0.2.7:50001", "0 Request ends"]);
}

#[test]
fn a_server_that_answers_in_http_1_speaks_http_1() {
    let refused = "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";
    let first = (1u64 << 32) + 1;
    let row = ["-", "400", "Request ends", "Response ends"].map(|what| format!("{first} {what}"));
    for step in STEPS {
        let mut expected = vec!["Tls"];
        expected.extend(row.iter().map(String::as_str));
        beginning().client("\x16\x03\x01", step).server(refused, step).heard(&expected);
        // What has not given up leaves that to HTTP/1.
        let mut lines = beginning();
        lines.client("GET: lines\n", 100).server(refused, step).heard(&[
            "0 Request ends",
            &row[0],
            &row[1],
            &row[2],
            &row[3],
        ]);
        assert!(lines.detector.is_reading());
    }
    let mut foreign = beginning();
    foreign.client("\x16\x03\x01", 100).server("\x16\x03\x03", 1).heard(&["Tls"]);
    assert!(!foreign.detector.is_reading());
}

#[test]
fn a_connection_that_was_met_in_its_midst() {
    let joined = || Spoken::on(Detector::joined_among(&[LINES, http2::CANDIDATE, unsupported::TLS]));
    joined().client("rest\n", 100).client(GET, 100).client("=1\n", 100).heard(&[
        "1 GET",
        "1 Request ends",
        "Unreadable",
    ]);
    joined().client("rest\n", 100).client("=1\n", 100).heard(&["0 Request ends"]);
    let mut proxied = joined();
    proxied.client("PROXY UNKNOWN\r\n", 100).client("GET: lines\n", 100).heard(&["0 Request ends"]);
}

#[test]
fn an_upgrade_goes_on_in_the_new_protocol() {
    let ask = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: other, lines\r\n\r\n";
    for before in [0, 2] {
        let mut upgraded = beginning();
        let mut expected = Vec::new();
        for stream in 1..=before {
            upgraded.client(GET, 100).server(OK, 100);
            expected.extend(["GET", "Request ends", "200", "Response ends"].map(|what| format!("{stream} {what}")));
        }
        let asking = before + 1;
        // The answer comes with the switch; what follows has numbers behind it.
        upgraded.client(ask, 9).server(&[SWITCH, "answer\n"].concat(), 100).client("next\n", 3).server("next\n", 100);
        expected.extend([
            format!("{asking} GET"),
            format!("{asking} Request ends"),
            format!("{asking} Response ends"),
            format!("{asking} Request ends"),
            format!("{} Response ends", asking + 1),
        ]);
        upgraded.heard(&expected.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(upgraded.detector.response_begun(), Some((StreamId(asking + 2), 7)));
        let body = |stream| upgraded.detector.unfinished(StreamId(stream)).request_body;
        assert_eq!((body(asking), body(asking + 1), body(before)), (Some(1), Some(2), None));
    }
    // What the server refuses, or switches to without having been asked, is HTTP/1's.
    beginning().client(ask, 100).server(OK, 100).heard(&["1 GET", "1 Request ends", "1 200", "1 Response ends"]);
    let unasked = ["1 GET", "1 Request ends", "1 101", "1 Response ends", "Upgraded"];
    beginning().client(GET, 100).server(SWITCH, 100).heard(&unasked);
    let other = SWITCH.replace("Lines", "other");
    beginning().client(ask, 100).server(&other, 100).heard(&unasked);
}
