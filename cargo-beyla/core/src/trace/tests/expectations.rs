//! Content that a client announces with `Expect: 100-continue`, and may leave out once it has a final answer.

use super::*;

const PUT: &str = "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const CHUNKED_PUT: &str = "PUT /a HTTP/1.1\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const GET_B: &str = "GET /b HTTP/1.1\r\nHost: x\r\n\r\n";

/// A refused request, then what its client sends in pieces of a size, each answered as far as it is whole.
#[track_caller]
fn after_refusal(head: &str, sent: &str, answers: usize, expected: &[&str]) -> Summary {
    let mut summary = Summary::default();
    for step in [1, 2, 3, 7, 1000] {
        summary = check(
            |events| {
                events.receive(1, head).send(1, REFUSED);
                for piece in sent.as_bytes().chunks(step) {
                    events.receive(1, piece);
                }
                for _ in 0..answers {
                    events.send(1, OK);
                }
                events.client_closes(1).over(1)
            },
            expected,
        );
        assert_eq!(summary.unseen, Unseen::default(), "{step}");
    }
    summary
}

#[test]
fn content_that_is_left_out_is_no_part_of_the_next_request() {
    let rows = ["PUT /a 417 complete 0 0", "GET /b 200 complete 0 2", "GET /a 200 complete 0 2"];
    for head in [PUT, CHUNKED_PUT] {
        after_refusal(head, "", 0, &rows[..1]);
        let summary = after_refusal(head, &[GET_B, GET].concat(), 2, &rows);
        let times = |at: usize| summary.requests[at].boundaries;
        assert_eq!((times(0).received, times(1).arrived, times(1).read), (Some(1030), Some(1060), 1070));
    }
    // One after the other, and with an empty line between them.
    check(
        |events| {
            events.receive(1, PUT).send(1, REFUSED).receive(1, GET_B).send(1, OK);
            events.receive(1, CHUNKED_PUT).send(1, REFUSED).receive(1, ["\r\n", GET].concat()).send(1, OK)
        },
        &[rows[0], rows[1], rows[0], rows[2]],
    );
    // It ends where the length of what follows does, by chance.
    let put = PUT.replace('5', &GET_B.len().to_string());
    after_refusal(&put, &[GET_B, GET].concat(), 2, &rows);
    // A method that nobody knows.
    after_refusal(PUT, "BREWPOT /b HTTP/1.1\r\n\r\n", 1, &[rows[0], "BREWPOT /b 200 complete 0 2"]);
}

#[test]
fn content_that_is_sent_all_the_same_is_content() {
    let put = |length: usize| PUT.replace('5', &length.to_string());
    for body in ["hello", "{\"a\":1}", "GET /", "a=b", "GET /x HTTP/1.1\r\n", "\r\n\r\nx", "\n", "hello world", "h"] {
        let row = format!("PUT /a 417 complete {} 0", body.len());
        let rows = [&row, "GET /b 200 complete 0 2"];
        after_refusal(&put(body.len()), &[body, GET_B].concat(), 1, &rows);
        after_refusal(&put(body.len()), body, 0, &rows[..1]);
    }
    after_refusal(CHUNKED_PUT, &[CHUNKS, GET_B].concat(), 1, &["PUT /a 417 complete 5 0", "GET /b 200 complete 0 2"]);
    // Its last byte, and the first of what follows, have the times of the calls that brought them.
    let summary = check(
        |events| {
            events.receive(1, PUT).send(1, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok").receive(1, "he");
            events.receive(1, "lloG").receive(1, &GET_B[1..]).send(1, ["ok", OK].concat())
        },
        &["PUT /a 200 complete 5 4", "GET /b 200 complete 0 2"],
    );
    assert_eq!((summary.requests[1].boundaries.arrived, summary.requests[1].boundaries.read), (Some(1080), 1090));
}

#[test]
fn content_that_the_client_could_not_leave_out_is_content() {
    let text = "GET /x HTTP/1.1\r\nHost: y\r\n\r\n";
    let put = PUT.replace('5', &text.len().to_string());
    let row = format!("PUT /a 417 complete {} 0", text.len());
    let rows = [row.as_str(), "GET /b 200 complete 0 2"];
    // The server has sent 100 Continue.
    check(
        |events| {
            events.receive(1, &put).send(1, CONTINUE).send(1, REFUSED).receive(1, text).receive(1, GET_B).send(1, OK)
        },
        &rows,
    );
    // It had sent it before the answer, which the server gave before it looked.
    check(
        |events| {
            events.receive(1, &put);
            let before = events.now + 1;
            events.send(1, REFUSED).receive_late(1, text, before).receive(1, GET_B).send(1, OK)
        },
        &rows,
    );
    // It did not wait at all.
    check(|events| events.receive(1, [&put, text].concat()).send(1, REFUSED).receive(1, GET_B).send(1, OK), &rows);
    check(|events| events.receive(1, [&put, text, GET_B].concat()).send(1, REFUSED).send(1, OK), &rows);
    // It left it out, and said so with all that follows.
    let ahead = ["PUT /a 417 complete 0 0", "GET /b 200 complete 0 2"];
    check(|events| events.receive(1, [PUT, GET_B].concat()).send(1, REFUSED).send(1, OK), &ahead);
    check(|events| events.receive(1, [CHUNKED_PUT, GET_B].concat()).send(1, REFUSED).send(1, OK), &ahead);
}

#[test]
fn content_that_was_waited_for() {
    for (head, body) in [(PUT, "hello"), (CHUNKED_PUT, CHUNKS)] {
        check(
            |events| events.receive(1, head).send(1, CONTINUE).receive(1, body).send(1, OK).receive(1, GET).send(1, OK),
            &["PUT /a 200 complete 5 2", "GET /a 200 complete 0 2"],
        );
    }
    // HTTP/1.0 knows nothing of it.
    let old = PUT.replace("HTTP/1.1", "HTTP/1.0");
    check(|events| events.receive(1, old).send(1, REFUSED).receive(1, "GET /"), &["PUT /a 417 complete 5 0"]);
    let summary = check(
        |events| events.receive(1, PUT).unseen(Up, 1, 5).send(1, OK).receive(1, GET).send(1, OK),
        &["PUT /a 200 complete 5 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn what_ends_before_it_can_be_told() {
    after_refusal(PUT, "hel", 0, &["PUT /a 417 complete 3 0"]);
    after_refusal(PUT, "GET /b HT", 0, &["PUT /a 417 complete 0 0"]);
    check(|events| events.receive(1, PUT).reset(1), &["PUT /a - client closed 0 -"]);
}
