//! Requests that cannot be read, and are answered.

use super::*;

const BAD: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad";
const LATE: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate";

/// What is received is answered so, and the server closes; the row is the same wherever both are cut.
#[track_caller]
fn answered(received: impl AsRef<[u8]>, answer: &str, row: &str) -> Summary {
    let mut summary = Summary::default();
    for step in [1, 2, 100, 100_000] {
        summary = check(
            |events| {
                for piece in received.as_ref().chunks(step) {
                    events.receive(1, piece);
                }
                for piece in answer.as_bytes().chunks(step) {
                    events.send(1, piece);
                }
                events.server_closes(1).over(1)
            },
            &[row],
        );
        assert_eq!(summary.requests[0].request_bytes.header, received.as_ref().len() as u64, "{step}");
        assert_eq!((summary.totals.requests, summary.totals.errors), (1, 0));
    }
    summary
}

#[test]
fn half_a_head() {
    for (half, row) in [
        ("G", "- - 408 complete 0 4"),
        ("GET", "- - 408 complete 0 4"),
        ("GET /fo", "GET - 408 complete 0 4"),
        ("GET /foo?a=b HT", "GET /foo?a=b 408 complete 0 4"),
        ("POST /foo HTTP/1.1\r\nHost: x\r\nContent-Len", "POST /foo 408 complete 0 4"),
        ("HEAD /foo HTTP/1.1\r\n", "HEAD /foo 408 complete 0 0"),
    ] {
        let summary = answered(half, LATE, row);
        assert_eq!(summary.unseen, Unseen::default());
        assert_eq!(summary.requests[0].route, summary.requests[0].path);
    }
}

#[test]
fn the_server_has_waited_for_the_rest() {
    let mut events = EventBuilder::with_connection();
    events.receive(1, "GET /a HTTP/1.1\r\nHo");
    events.now += 5000;
    events.send(1, LATE).server_closes(1).over(1);
    let summary = events.summary();
    let boundaries = summary.requests[0].boundaries;
    assert_eq!((boundaries.connected, boundaries.arrived, boundaries.read), (Some(1000), Some(1020), 1030));
    assert_eq!((boundaries.received, boundaries.responded, boundaries.ended), (Some(6040), Some(6040), 6050));
    assert_eq!(boundaries.phases().named().map(|(_, ns)| ns), [Some(10), Some(5010), Some(0), Some(10)]);
}

#[test]
fn a_head_that_is_broken() {
    for (broken, row) in [
        ("GET /a\r\n\r\n", "GET /a 400 complete ? 3"),
        ("GET /a b HTTP/1.1\r\n\r\n", "GET /a 400 complete ? 3"),
        ("GET / HTTP/2.5\r\nHost: x\r\n\r\n", "GET / 400 complete ? 3"),
        ("POST /a?b HTTP/1.1\r\nContent-Length: x\r\n\r\n", "POST /a?b 400 complete ? 3"),
        ("G\x01T / HTTP/1.1\r\n\r\n", "- - 400 complete ? 3"),
        ("\x01\x02\x03\x04", "- - 400 complete ? 3"),
        ("EHLO example\r\n", "EHLO example 400 complete ? 3"),
    ] {
        let summary = answered(broken, BAD, row);
        assert_eq!(summary.unseen, Unseen::default(), "{broken:?}");
    }
    // By its answer the protocol is known where the request does not tell it.
    let old = answered("\x01\x02\x03\x04", &BAD.replace("1.1", "1.0"), "- - 400 complete ? 3");
    assert_eq!(old.requests[0].protocol, "http/1.0");
    let boundaries =
        check(|events| events.receive(1, "?\x01").send(1, BAD), &["- - 400 complete ? 3"]).requests[0].boundaries;
    assert_eq!((boundaries.read, boundaries.received, boundaries.responded), (1030, Some(1040), Some(1040)));
}

#[test]
fn what_is_too_long() {
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000));
    let head = format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    for (long, row) in [(target, "GET - 400 complete ? 3"), (head, "GET /a 400 complete ? 3")] {
        let summary = answered(&long, BAD, row);
        assert_eq!(summary.unseen, Unseen::default());
    }
}

#[test]
fn another_protocol_that_is_answered() {
    let hello = "\x16\x03\x01\x02\0\x01\0\x01";
    let tls = answered(hello, BAD, "- - 400 complete ? 3");
    assert_eq!(tls.unseen, Unseen { tls_connections: 1, ..Unseen::default() });
    let preface = answered("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD, "PRI * 400 complete ? 3");
    assert_eq!(preface.unseen, Unseen::default());
}

#[test]
fn behind_requests_that_can_be_read() {
    let summary = check(
        |events| {
            events.receive(1, GET).send(1, OK).receive(1, [GET, "GET /b HTTP/9\r\n\r\n"].concat());
            events.send(1, [OK, BAD].concat()).server_closes(1).over(1)
        },
        &["GET /a 200 complete 0 2", "GET /a 200 complete 0 2", "GET /b 400 complete ? 3"],
    );
    assert_eq!(summary.unseen, Unseen::default());
    let half = check(
        |events| events.receive(1, GET).send(1, OK).receive(1, "GET /b").send(1, LATE).server_closes(1).over(1),
        &["GET /a 200 complete 0 2", "GET - 408 complete 0 4"],
    );
    assert_eq!(half.requests[1].boundaries.connected, None);
}

#[test]
fn a_server_that_reads_on() {
    let summary = check(
        |events| events.receive(1, "GET /b HTTP/9\r\n\r\n").send(1, BAD).receive(1, GET).send(1, OK),
        &["GET /b 400 complete ? 3", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn without_an_answer_it_is_told_as_before() {
    let unreadable = Unseen { unreadable_connections: 1, ..Unseen::default() };
    let silent = check(|events| events.receive(1, "GET /b HTTP/9\r\n\r\n").server_closes(1).over(1), &[]);
    assert_eq!(silent.unseen, unreadable);
    let other = check(|events| events.receive(1, "?\x01").send(1, "+PONG\r\n").receive(1, GET).send(1, OK), &[]);
    assert_eq!(other.unseen, unreadable);
    let half_an_answer = check(|events| events.receive(1, "?\x01").send(1, &BAD[..20]).server_closes(1).over(1), &[]);
    assert_eq!(half_an_answer.unseen, unreadable);
    // And half a head that nobody answers is nothing.
    let half = check(|events| events.receive(1, "GET /b HT").send(1, "HTTP/1.1 100 Continue\r\n\r\n").over(1), &[]);
    assert_eq!(half.unseen, Unseen::default());
}
