//! Connections that end before their exchanges.

use super::*;

#[test]
fn requests_that_wait_in_line_share_the_end_of_their_connection() {
    check(
        |tape| tape.receive(1, [GET, GET, GET].concat()).send(1, OK).server_closes(1).over(1),
        &["GET /a 200 complete 0 2", "GET /a - server closed 0 -", "GET /a - server closed 0 -"],
    );
    check(
        |tape| tape.receive(1, [GET, GET].concat()).send(1, &OK[..30]).client_closes(1).reset(1),
        &["GET /a - client closed 0 -", "GET /a - client closed 0 -"],
    );
}

#[test]
fn who_closed_first() {
    for (build, expected) in [
        ((|tape| tape.client_closes(1).over(1)) as Build, "GET /a - client closed 0 -"),
        (|tape| tape.client_closes(1), "GET /a - client closed 0 -"),
        (|tape| tape.reset(1), "GET /a - client closed 0 -"),
        (|tape| tape.end_of_stream(1).over(1), "GET /a - client closed 0 -"),
        (|tape| tape.server_closes(1).over(1), "GET /a - server closed 0 -"),
        (|tape| tape.over(1), "GET /a - server closed 0 -"),
        (|tape| tape, "GET /a - still open 0 -"),
        (|tape| tape.client_closes(1).send(1, OK).over(1), "GET /a 200 complete 0 2"),
        (|tape| tape.send(1, &OK[..OK.len() - 1]).server_closes(1).over(1), "GET /a 200 server closed 0 1"),
        (|tape| tape.send(1, &OK[..OK.len() - 1]).reset(1), "GET /a 200 client closed 0 1"),
        (|tape| tape.send(1, &OK[..OK.len() - 1]), "GET /a 200 still open 0 1"),
        (|tape| tape.send(1, &OK[..9]).over(1), "GET /a - server closed 0 -"),
    ] {
        let summary = check(
            |tape| {
                tape.receive(1, GET);
                build(tape)
            },
            &[expected],
        );
        let errors = u64::from(expected.contains("server closed"));
        assert_eq!(summary.totals.errors, errors, "{expected}");
        assert_eq!(summary.totals.incomplete, u64::from(!expected.contains("complete")));
        assert_eq!(summary.unseen, Unseen::default());
    }
}

#[test]
fn a_broken_exchange_ends_when_it_broke() {
    let ended = |summary: &Summary| summary.requests[0].boundaries.ended;
    let closed = check(
        |tape| {
            tape.receive(1, GET).client_closes(1);
            tape.now += 500;
            tape.over(1)
        },
        &["GET /a - client closed 0 -"],
    );
    assert_eq!(ended(&closed), 1040);
    let open = check(|tape| tape.receive(1, GET), &["GET /a - still open 0 -"]);
    assert_eq!(ended(&open), 1040);
}

#[test]
fn an_upload_that_breaks_off_counts_what_came() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc";
    let summary = check(|tape| tape.receive(1, post).reset(1), &["POST / - client closed 3 -"]);
    assert_eq!(summary.requests[0].boundaries.received, None);
    assert_eq!(summary.requests[0].boundaries.phases().handle, None);
    check(|tape| tape.receive(1, &post[..20]).reset(1), &[]);
}

#[test]
fn a_request_that_had_arrived_before_a_reset() {
    check(|tape| tape.reset(1).receive(1, GET), &["GET /a - client closed 0 -"]);
}
