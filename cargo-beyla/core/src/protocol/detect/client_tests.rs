//! What a connection speaks that the traced process opened, and when its requests are answered.

use crate::model::connection::StreamId;
use crate::protocol::http2::fixtures::{END_HEADERS, END_STREAM, data, frame, headers};
use crate::protocol::message::UnfinishedResponse;
use crate::protocol::spoken::Spoken;
use crate::transport::segment::Direction::Response;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const WHOLE: [&str; 4] = ["1: GET /", "1: sent, 0 bytes", "1: answer 200", "1: ended, 2 bytes"];

#[test]
fn what_no_protocol_reads_is_turns() {
    let mut spoken = Spoken::to(4000);
    spoken.client("\x05\0\x01").client("\x02").server("\x05\0").server("\x01").client("next").stop();
    spoken.tells(&["1: tcp ", "1: sent, 4 bytes", "1: answer", "1: ended, 3 bytes", "2: tcp "]);
    assert_eq!(spoken.moments(1), [10, 25, 29, 35, 45].map(Some));
    assert_eq!(spoken.moments(2), [Some(50), None, None, None, None]);
    // What the server says first is no answer; what moved unseen belongs to the turn at hand.
    let mut greeted = Spoken::to(4000);
    greeted.server("J\0").server("\0\x01greeting").client("\x01\0\0\0\x0e");
    greeted.gap(Response, 100);
    greeted.server("\x07\0\0").stop();
    greeted.tells(&["1: tcp ", "1: sent, 5 bytes", "1: answer", "1: ended, 103 bytes"]);
}

#[test]
fn what_has_no_http_in_either_direction_is_turns() {
    // These bytes may become a request line, until the server answers.
    let mut word = Spoken::to(4000);
    word.client("hello").is_silent().server("world").stop();
    word.tells(&["1: tcp ", "1: sent, 5 bytes", "1: answer", "1: ended, 5 bytes"]);
    assert_eq!(word.moments(1), [10, 15, 19, 25, 25].map(Some));
    // In several calls, the last of which tells that they are none.
    let mut line = Spoken::to(4000);
    line.client("MAIL ").client("FROM:<a>\r\n").server("250 ok\r\n").stop();
    line.tells(&["1: tcp ", "1: sent, 15 bytes", "1: answer", "1: ended, 8 bytes"]);
    assert_eq!(line.moments(1), [10, 25, 29, 35, 35].map(Some));
}

#[test]
fn the_first_bytes_choose() {
    Spoken::to(443).client("\x16\x03\x01").tells(&["given up: Tls"]);
    for step in [1, 3, 100] {
        let mut http = Spoken::to(5432);
        for piece in GET.as_bytes().chunks(step) {
            http.client(piece);
        }
        http.server(OK).tells(&WHOLE);
    }
    let startup = "\0\0\0\x0f\0\x03\0\0user\0a\0";
    let welcome = "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    for step in [1, 4, 100] {
        let mut postgresql = Spoken::to(4000);
        for piece in startup.as_bytes().chunks(step) {
            postgresql.client(piece);
        }
        postgresql.server(welcome).tells(&["ready"]);
    }
    for step in [1, 2, 100] {
        let mut redis = Spoken::to(4000);
        for piece in b"*1\r\n$4\r\nPING\r\n".chunks(step) {
            redis.client(piece);
        }
        redis.server("+PONG\r\n");
        assert_eq!(redis.outcomes(), ["PING"]);
        assert_eq!(redis.moments(1)[0], Some(10));
    }
}

#[test]
fn a_connection_that_was_met_in_its_midst() {
    let mut http = Spoken::joined_to(4000);
    http.client("rest of a body").server("HTTP/1.1 200 OK\r\n\r\n").server("more").client(GET).server(OK).tells(&WHOLE);
    let mut postgresql = Spoken::joined_to(4000);
    postgresql.server("D\0\0\0\x06\0\0").client("Q\0\0\0\x0dSELECT 1\0").server("Z\0\0\0\x05I");
    assert_eq!(postgresql.outcomes(), ["SELECT"]);
    let mut other = Spoken::joined_to(4000);
    other.server("abc").client("\x01\x02").server("\x03").client("\x04").server("\x05").stop();
    assert_eq!(other.told.lines.iter().filter(|line| line.ends_with("tcp ")).count(), 2);
}

#[test]
fn what_came_in_time_of_an_http_1_call() {
    let mut spoken = Spoken::to(80);
    // The head and the content are sent by two calls, and the answer comes in two.
    spoken.client("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n").client("ab").server(&OK[..20]).server(&OK[20..]);
    spoken.tells(&["1: POST /a", "1: sent, 2 bytes", "1: answer 200", "1: ended, 2 bytes"]);
    assert_eq!(spoken.moments(1), [10, 25, 29, 35, 45].map(Some));
    // The connection is kept. An interim answer is none.
    spoken.client(GET).server("HTTP/1.1 103 Early Hints\r\n\r\n").server(OK);
    assert_eq!(spoken.moments(2), [50, 55, 69, 75, 75].map(Some));
    // Requests sent ahead are answered in one call.
    spoken.client([GET, GET].concat()).server([OK, OK].concat());
    assert_eq!(spoken.moments(3), [80, 85, 89, 95, 95].map(Some));
    assert_eq!(spoken.moments(4), [80, 85, 89, 95, 95].map(Some));
}

#[test]
fn http_1_answers_without_content() {
    let mut spoken = Spoken::to(80);
    spoken.client("HEAD / HTTP/1.1\r\n\r\n").server("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    spoken.client(GET).server("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    spoken.client(GET).server("HTTP/1.1 204 No Content\r\n\r\n").client(GET).server(OK);
    let ended = spoken.told.lines.iter().filter(|line| line.contains("ended"));
    let ended: Vec<_> = ended.map(String::as_str).collect();
    assert_eq!(ended, ["1: ended, 0 bytes", "2: ended, 0 bytes", "3: ended, 0 bytes", "4: ended, 2 bytes"]);
}

#[test]
fn an_http_1_answer_may_last_until_the_close() {
    let mut spoken = Spoken::to(80);
    spoken.client(GET).server("HTTP/1.0 200 OK\r\n\r\n").server("content").stop();
    spoken.tells(&["1: GET /", "1: sent, 0 bytes", "1: answer 200"]);
    let unfinished = spoken.detector.unfinished(StreamId(1));
    assert_eq!((unfinished.response, unfinished.response_body), (UnfinishedResponse::Close, Some(7)));
}

#[test]
fn an_http_1_connection_may_become_a_tunnel() {
    let mut spoken = Spoken::to(8080);
    spoken.client("CONNECT a:443 HTTP/1.1\r\n\r\n").server("HTTP/1.1 200 OK\r\n\r\n").client("\x16\x03\x01");
    let lines = ["1: CONNECT a:443", "1: sent, 0 bytes", "1: answer 200", "1: ended, 0 bytes", "given up: Upgraded"];
    spoken.tells(&lines);
}

#[test]
fn http_1_content_may_wait_for_leave() {
    let ask = "PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut spoken = Spoken::to(80);
    spoken.client(ask).server("HTTP/1.1 100 Continue\r\n\r\n").client("ab").server(OK);
    spoken.tells(&["1: PUT /", "1: sent, 2 bytes", "1: answer 200", "1: ended, 2 bytes"]);
    assert_eq!(spoken.moments(1), [10, 35, 39, 45, 45].map(Some));
    // A final answer instead: the content is left out.
    let refused = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    spoken.client(ask).server(refused).client(GET).server(OK);
    spoken.tells(&[
        "2: PUT /",
        "2: answer 417",
        "2: ended, 0 bytes",
        "2: sent, 0 bytes",
        "3: GET /",
        "3: sent, 0 bytes",
        "3: answer 200",
        "3: ended, 2 bytes",
    ]);
    assert_eq!(spoken.moments(2), [50, 55, 59, 65, 65].map(Some));
}

#[test]
fn what_came_in_time_of_http_2_calls() {
    let mut spoken = Spoken::to(80);
    let get = |stream| headers(END_HEADERS | END_STREAM, stream, &[(":method", "GET"), (":path", "/a")]);
    let status = |flags, stream| headers(flags, stream, &[(":status", "200")]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    spoken.client([&preface[..], &frame(4, 0, 0, b""), &get(1)].concat()).server(frame(4, 0, 0, b"")).client(get(3));
    // The second is answered first, and both in pieces.
    spoken.server([status(END_HEADERS, 3), status(END_HEADERS, 1), data(0, 1, b"ab")].concat());
    spoken.server([data(END_STREAM, 3, b"c"), data(END_STREAM, 1, b"d")].concat());
    spoken.tells(&[
        "1: GET /a",
        "1: sent, 0 bytes",
        "3: GET /a",
        "3: sent, 0 bytes",
        "3: answer 200",
        "1: answer 200",
        "3: ended, 1 bytes",
        "1: ended, 3 bytes",
    ]);
    assert_eq!(spoken.moments(1), [10, 15, 39, 45, 55].map(Some));
    assert_eq!(spoken.moments(3), [30, 35, 39, 45, 55].map(Some));
}

#[test]
fn what_came_in_time_of_a_grpc_call() {
    let mut spoken = Spoken::to(80);
    let fields = [(":method", "POST"), (":path", "/a.B/C"), ("content-type", "application/grpc"), ("te", "trailers")];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    spoken.client([&preface[..], &frame(4, 0, 0, b""), &headers(END_HEADERS, 1, &fields)].concat());
    spoken.client(data(END_STREAM, 1, b"\0\0\0\0\x01a")).server(frame(4, 0, 0, b""));
    let head = headers(END_HEADERS, 1, &[(":status", "200"), ("content-type", "application/grpc")]);
    spoken.server([head, data(0, 1, b"\0\0\0\0\x01b")].concat());
    spoken.server(headers(END_HEADERS | END_STREAM, 1, &[("grpc-status", "5")]));
    spoken.tells(&["1: POST /a.B/C", "1: sent, 6 bytes", "1: answer 200", "1: ended, 6 bytes"]);
    assert_eq!(spoken.moments(1), [10, 25, 39, 45, 55].map(Some));
}
