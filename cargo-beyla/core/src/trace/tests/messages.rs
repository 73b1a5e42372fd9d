//! Requests and responses as they should be.

use super::*;

#[test]
fn one_request_and_its_times() {
    let mut events = EventBuilder::new();
    events.listen(8080).open(1).receive(1, GET).send(1, OK);
    events.over(1);
    let summary = events.summary();
    let [request] = &summary.requests[..] else { panic!("one request") };
    assert_eq!(line(request), "GET /a 200 complete 0 2");
    assert_eq!(
        (request.request_bytes.header, request.response_bytes.map(|bytes| bytes.header)),
        (GET.len() as u64, Some(OK.len() as u64 - 2))
    );
    let boundaries = request.boundaries;
    assert_eq!((boundaries.connected, boundaries.accepted), (Some(1000), Some(1010)));
    assert_eq!((boundaries.arrived, boundaries.read, boundaries.received), (Some(1020), 1030, Some(1030)));
    assert_eq!((boundaries.responded, boundaries.ended), (Some(1040), 1050));
    assert_eq!(request.connection.server.to_string(), "127.0.0.1:8080");
    assert_eq!(request.connection.client.to_string(), "127.0.0.1:50000");
    assert_eq!((request.id, request.connection.id, request.protocol), (1, 1, "http/1.1"));
    assert_eq!(summary.listening.len(), 1);
    assert_eq!((summary.totals.requests, summary.totals.connections, summary.totals.errors), (1, 1, 0));
    assert_eq!(summary.unseen, Unseen::default());
}

/// Where accept is not seen, a receive call that brings bytes may have waited for them since.
#[test]
fn the_clients_own_time_is_no_accept_wait() {
    const MS: u64 = 1_000_000;
    for (idle, unread, wait) in [
        // The client took its time: nobody knows when it was accepted.
        (300 * MS, 20_000, None),
        (300 * MS, 40 * MS, None),
        (2 * MS, 0, None),
        (60 * MS, 140 * MS, None),
        // Its bytes were there, and the server did not look.
        (0, 200 * MS, Some(200 * MS)),
        (20 * MS, 180 * MS, Some(200 * MS)),
        // What is at most a millisecond off accuses nobody.
        (50_000, 30_000, Some(80_000)),
        (999_999, 0, Some(999_999)),
    ] {
        let mut events = EventBuilder::new();
        events.open_by_receive(1, GET, idle, unread).send(1, OK).receive(1, GET).send(1, OK);
        let summary = events.summary();
        let [first, second] = &summary.requests[..] else { panic!("two requests") };
        assert_eq!(first.boundaries.connected, Some(1000));
        assert_eq!(first.boundaries.accept_wait(), wait, "{idle} {unread}");
        assert_eq!(first.boundaries.phases().queue, Some(unread));
        assert_eq!(second.boundaries.accept_wait(), None);
    }
    // Nothing is known of when the bytes came.
    let mut events = EventBuilder::new();
    events.open_after(1, 5 * MS);
    events.now -= 20;
    events.receive_late(1, GET, 0).send(1, OK);
    assert_eq!(events.summary().requests[0].boundaries.accepted, None);
    // A server that speaks first has accepted before, whatever the client does then.
    let mut events = EventBuilder::new();
    events.open_after(1, 5 * MS).receive(1, GET).send(1, OK);
    assert_eq!(events.summary().requests[0].boundaries.accept_wait(), Some(5 * MS));
}

#[test]
fn keep_alive_and_only_the_first_request_has_been_accepted() {
    let summary = check(
        |events| {
            events.receive(1, GET).send(1, OK).receive(1, "PUT /b HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
            events.send(1, "HTTP/1.0 503 No\r\nContent-Length: 0\r\n\r\n")
        },
        &["GET /a 200 complete 0 2", "PUT /b 503 complete 3 0"],
    );
    assert_eq!(summary.requests[1].boundaries.connected, None);
    assert_eq!(summary.requests[1].protocol, "http/1.0");
    assert_eq!(summary.totals.errors, 1);
}

#[test]
fn pipelining() {
    let summary = check(
        |events| {
            events.receive(1, ["GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\n\r\nHEAD /3 HT", ""].concat());
            events.send(1, OK).receive(1, "TP/1.1\r\n\r\n").send(1, [OK, "HTTP/1.1 204 No\r\n\r\n"].concat())
        },
        &["GET /1 200 complete 0 2", "GET /2 200 complete 0 2", "HEAD /3 204 complete 0 0"],
    );
    assert_eq!(summary.requests[2].boundaries.received, Some(summary.requests[2].boundaries.read + 40));
}

#[test]
fn each_request_has_its_own_arrival() {
    let mut events = EventBuilder::with_connection();
    events.arrive_behind(1, GET.len() as u32);
    events.now += 100;
    events.receive(1, [GET, GET].concat()).send(1, [OK, OK].concat());
    // What came in the midst of a request is not the arrival of the next.
    events.arrive_behind(1, 5);
    events.receive(1, &GET[..10]).receive(1, [&GET[10..], GET].concat());
    let arrived: Vec<_> =
        events.summary().requests.iter().map(|request| (request.boundaries.arrived, request.boundaries.read)).collect();
    // The builder has the unread bytes arrive 10 ns before each call that reads them.
    assert_eq!(arrived, [(Some(1130), 1140), (Some(1020), 1140), (Some(1180), 1190), (Some(1200), 1210)]);
}

#[test]
fn chunks_both_ways() {
    check(
        |events| {
            events.receive(
                1,
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n3;x=y\r\nabc\r\n",
            );
            events.receive(1, "2\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
            events.send(1, "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n").send(1, "a\r\n0123456789\r\n");
            events.send(1, "0\r\n").send(1, "\r\n").receive(1, GET).send(1, OK)
        },
        &["POST / 200 complete 5 10", "GET /a 200 complete 0 2"],
    );
}

#[test]
fn responses_without_content() {
    check(
        |events| {
            events.receive(1, "HEAD /h HTTP/1.1\r\n\r\n").send(1, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
            events.receive(1, GET).send(1, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
            events.receive(1, GET).send(1, "HTTP/1.1 204 No Content\r\n\r\n");
            events.receive(1, GET).send(1, OK)
        },
        &["HEAD /h 200 complete 0 0", "GET /a 304 complete 0 0", "GET /a 204 complete 0 0", "GET /a 200 complete 0 2"],
    );
}

#[test]
fn expect_continue_begins_the_response_with_the_final_one() {
    let head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let summary = check(
        |events| events.receive(1, head).send(1, "HTTP/1.1 100 Continue\r\n\r\n").receive(1, "body").send(1, OK),
        &["POST / 200 complete 4 2"],
    );
    let boundaries = summary.requests[0].boundaries;
    assert_eq!((boundaries.received, boundaries.responded), (Some(1070), Some(1080)));
    let summary = check(
        |events| {
            events
                .receive(1, head)
                .receive(1, "body")
                .send(1, ["HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK].concat())
        },
        &["POST / 200 complete 4 2"],
    );
    assert_eq!(summary.requests[0].boundaries.responded, Some(1060));
}

#[test]
fn methods_and_targets() {
    check(
        |events| {
            for line in ["OPTIONS *", "M-SEARCH http://h/x?q", "GET http://h", "X!# /p?", "PROPFIND /%20"] {
                events.receive(1, format!("{line} HTTP/1.1\r\n\r\n")).send(1, OK);
            }
            events
        },
        &[
            "OPTIONS * 200 complete 0 2",
            "M-SEARCH /x?q 200 complete 0 2",
            "GET / 200 complete 0 2",
            "X!# /p? 200 complete 0 2",
            "PROPFIND /%20 200 complete 0 2",
        ],
    );
}

#[test]
fn the_longest_head_and_one_byte_more() {
    let head = |length: usize| {
        let padding = "x".repeat(length - "GET / HTTP/1.1\r\na:\r\n\r\n".len());
        format!("GET / HTTP/1.1\r\na:{padding}\r\n\r\n")
    };
    check(|events| events.receive(1, head(16384)).send(1, OK), &["GET / 200 complete 0 2"]);
    let summary = check(
        |events| {
            for piece in head(16385).as_bytes().chunks(1000) {
                events.receive(1, piece);
            }
            events.send(1, "HTTP/1.1 431 Too Large\r\n\r\n").server_closes(1).over(1)
        },
        &["GET / 431 complete ? 0"],
    );
    assert_eq!(summary.requests[0].request_bytes.header, 16385);
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn an_early_response() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc";
    let summary = check(
        |events| events.receive(1, post).send(1, OK).receive(1, "defghij").receive(1, GET).send(1, OK),
        &["POST / 200 complete 10 2", "GET /a 200 complete 0 2"],
    );
    let boundaries = summary.requests[0].boundaries;
    assert_eq!((boundaries.received, boundaries.responded), (Some(1040), Some(1040)));
    check(|events| events.receive(1, post).send(1, OK).server_closes(1).over(1), &["POST / 200 complete 3 2"]);
}
