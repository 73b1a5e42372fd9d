//! Connections that speak HTTP/2: a row a stream.

use super::*;
use crate::model::connection::StreamId;
use crate::model::grpc::Grpc;
use crate::protocol::http2::fixtures::{END_HEADERS, END_STREAM, PREFACE, data, frame, headers, message, reset};

pub(super) const ONLY: u8 = END_HEADERS | END_STREAM;

pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(ONLY, stream, &[(":method", "GET"), (":path", path)])
}

pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    headers(END_HEADERS, stream, &[(":method", "POST"), (":path", path)])
}

pub(super) fn answer(flags: u8, stream: u32, status: &str) -> Vec<u8> {
    headers(flags, stream, &[(":status", status)])
}

pub(super) fn begin(events: &mut EventBuilder) -> &mut EventBuilder {
    events.receive(1, [PREFACE, &frame(4, 0, 0, b"")].concat()).send(1, frame(4, 0, 0, b""))
}

fn grpc_call(stream: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":path", "/shop.v1.Cart/4711"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "2S"),
    ];
    [headers(END_HEADERS, stream, &fields), data(END_STREAM, stream, &message(10))].concat()
}

#[test]
fn streams_are_rows_that_end_in_any_order() {
    let summary = check(
        |events| {
            begin(events).receive(1, [get(1, "/slow"), post(3, "/up?x"), data(0, 3, b"12")].concat());
            events.receive(1, [get(5, "/quick"), data(END_STREAM, 3, b"345")].concat());
            events.send(
                1,
                [answer(END_HEADERS, 1, "200"), answer(END_HEADERS, 5, "404"), data(END_STREAM, 5, b"no")].concat(),
            );
            events.send(1, [answer(ONLY, 3, "204"), data(0, 1, b"some")].concat());
            events.send(1, data(END_STREAM, 1, b"more"))
        },
        &["GET /slow 200 complete 0 8", "POST /up?x 204 complete 5 0", "GET /quick 404 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
    let rows = &summary.requests;
    assert!(rows.iter().all(|row| row.protocol == "http/2" && row.boundaries.phases().sum() == row.boundaries.total()));
    assert_eq!(rows.iter().map(|row| row.stream).collect::<Vec<_>>(), [1, 3, 5].map(|stream| Some(StreamId(stream))));
    // Each begins with the call that brought its own head, and ends with the one that sent its own last byte.
    let moments = |at: usize| (rows[at].boundaries.read, rows[at].boundaries.received, rows[at].boundaries.ended);
    let ((first, ..), (second, upload, answered), (third, ..)) = (moments(0), moments(1), moments(2));
    assert!(first == second && third > first && upload == Some(third));
    assert!(moments(2).2 < answered && answered < moments(0).2);
}

#[test]
fn a_quick_response_is_a_row_while_a_slow_one_goes_on() {
    let mut events = EventBuilder::with_connection();
    begin(&mut events).receive(1, [get(1, "/slow"), get(3, "/quick")].concat()).send(1, answer(ONLY, 3, "200"));
    let summary = events.summary();
    assert_eq!(summary.totals.requests, 2);
    assert_eq!(lines(&events), ["GET /slow - still open 0 -", "GET /quick 200 complete 0 0"]);
}

/// As tonic's does.
#[test]
fn a_server_that_knows_its_clients_speaks_first() {
    let summary = check(
        |events| {
            events.send(1, [frame(4, 0, 0, &[0, 5, 0, 0, 64, 0]), frame(8, 0, 0, &[0, 15, 0, 1])].concat());
            events.receive(1, [PREFACE, &frame(4, 0, 0, b""), &get(1, "/a")].concat()).send(1, answer(ONLY, 1, "200"))
        },
        &["GET /a 200 complete 0 0"],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn a_target_without_a_path_is_shown_as_a_whole() {
    check(
        |events| {
            begin(events).receive(1, [get(1, "?a=1"), get(3, "")].concat());
            events.send(1, [answer(ONLY, 1, "400"), answer(ONLY, 3, "400")].concat())
        },
        &["GET ?a=1 400 complete 0 0", "GET - 400 complete 0 0"],
    );
}

#[test]
fn resets_end_their_own_stream() {
    check(
        |events| {
            begin(events).receive(1, [post(1, "/1"), data(0, 1, b"123"), get(3, "/3"), get(5, "/5")].concat());
            events.send(1, [answer(END_HEADERS, 3, "200"), data(0, 3, b"12"), reset(3)].concat());
            events.receive(1, reset(1)).send(1, answer(ONLY, 5, "200"))
        },
        &["POST /1 - client closed 3 -", "GET /3 200 server closed 0 2", "GET /5 200 complete 0 0"],
    );
}

#[test]
fn what_a_connection_leaves_unfinished() {
    check(
        |events| {
            begin(events).receive(1, [post(1, "/1"), data(0, 1, b"123"), get(3, "/3")].concat());
            events.send(1, [answer(END_HEADERS, 3, "200"), data(0, 3, b"12")].concat()).reset(1)
        },
        &["POST /1 - client closed 3 -", "GET /3 200 client closed 0 2"],
    );
}

#[test]
fn an_upgrade_from_http_1() {
    let ask =
        "GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let summary = check(
        |events| {
            events.receive(1, ask).send(1, [switch.as_bytes(), &frame(4, 0, 0, b"")].concat());
            events.receive(1, [PREFACE, &frame(4, 0, 0, b""), &get(3, "/b")].concat());
            events.send(1, [answer(END_HEADERS, 1, "200"), data(END_STREAM, 1, b"ok"), answer(ONLY, 3, "204")].concat())
        },
        &["GET /a 200 complete 0 2", "GET /b 204 complete 0 0"],
    );
    assert_eq!(summary.unseen, Unseen::default());
    assert_eq!([summary.requests[0].protocol, summary.requests[1].protocol], ["http/1.1", "http/2"]);
}

#[test]
fn what_is_not_a_request_is_counted() {
    let websocket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":path", "/ws"),
        (":authority", "a"),
        (":scheme", "http"),
    ];
    let promise = [&2u32.to_be_bytes()[..], &[0x82, 0x84]].concat();
    let summary = check(
        |events| {
            begin(events).receive(1, [headers(END_HEADERS, 1, &websocket), get(3, "/")].concat());
            events.send(
                1,
                [answer(END_HEADERS, 1, "200"), frame(5, END_HEADERS, 3, &promise), answer(ONLY, 3, "200")].concat(),
            );
            events.receive(1, data(0, 1, b"frames of another protocol"))
        },
        &["CONNECT /ws 200 complete 0 0", "GET / 200 complete 0 0"],
    );
    assert_eq!(summary.unseen, Unseen { upgraded_connections: 1, pushed_responses: 1, ..Unseen::default() });
}

#[test]
fn a_connection_from_before_has_heads_that_are_known_in_part() {
    let mut events = EventBuilder::new();
    events.join(1).receive(1, frame(1, ONLY, 7, &[0x82, 0xbe])).send(1, answer(ONLY, 7, "200"));
    assert_eq!(lines(&events), ["GET - 200 complete 0 0"]);
    assert_eq!(events.summary().unseen, Unseen { partial_heads: 1, ..Unseen::default() });
}

#[test]
fn grpc_calls_have_a_status_of_their_own() {
    let trailers = |stream, status| headers(ONLY, stream, &[("grpc-status", status)]);
    let head = |stream| headers(END_HEADERS, stream, &[(":status", "200"), ("content-type", "application/grpc")]);
    let mut events = EventBuilder::with_connection();
    begin(&mut events).receive(1, [grpc_call(1), grpc_call(3), grpc_call(5)].concat());
    events.send(1, [head(1), data(0, 1, &[message(3), message(0)].concat()), trailers(1, "0")].concat());
    events.send(1, [head(3), trailers(3, "5"), head(5), trailers(5, "14")].concat());
    let summary = events.summary();
    let rows = &summary.requests;
    let grpc = |status, response_messages| Grpc {
        service: "shop.v1.Cart".into(),
        method: "4711".into(),
        status: Some(status),
        request_messages: Some(1),
        response_messages: Some(response_messages),
        timeout_ns: Some(2_000_000_000),
    };
    let found: Vec<_> = rows.iter().map(|row| row.grpc.as_deref().cloned()).collect();
    assert_eq!(found, [Some(grpc(0, 2)), Some(grpc(5, 0)), Some(grpc(14, 0))]);
    // NOT_FOUND is the caller's fault, UNAVAILABLE the server's.
    assert_eq!(rows.iter().map(|row| row.is_error()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(summary.totals.errors, 1);
    // Its route is its name, whatever that looks like.
    assert!(rows.iter().all(|row| &*row.route == "/shop.v1.Cart/4711"));
}
