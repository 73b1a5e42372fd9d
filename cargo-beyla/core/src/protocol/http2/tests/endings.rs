use super::*;

#[test]
fn either_end_resets_a_stream() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[post(1, "/1"), data(0, 1, b"123"), post(3, "/3"), get(ONLY, 5, "/5")].concat());
    wire.call(RESPONSE, &[status(HEAD, 3, "200"), data(0, 3, b"12"), reset(3)].concat());
    wire.call(REQUEST, &[reset(1), reset(5), reset(7)].concat());
    // What was under way when they did.
    wire.call(RESPONSE, &[status(HEAD, 1, "200"), data(END_STREAM, 1, b"late")].concat());
    wire.call(REQUEST, &data(END_STREAM, 3, b"late"));
    assert_eq!(
        wire.lines()[4..],
        [
            "3: Some(200), 22 bytes",
            "3: reset by Server, Some(0) Some(2)",
            "1: reset by Client, Some(3) Some(0)",
            "5: reset by Client, Some(0) Some(0)",
        ]
    );
    assert!(wire.http2.streams.is_empty());
}

#[test]
fn a_server_that_goes_away_takes_no_more_streams() {
    let go_away = |last: u32| frame(7, 0, 0, &[&last.to_be_bytes()[..], &[0; 4], b"bye"].concat());
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[get(ONLY, 1, "/1"), get(ONLY, 3, "/3"), get(ONLY, 5, "/5")].concat());
    wire.call(RESPONSE, &go_away(u32::MAX));
    wire.call(RESPONSE, &go_away(1));
    wire.call(REQUEST, &[go_away(0), get(ONLY, 7, "/7")].concat());
    wire.call(RESPONSE, &status(ONLY, 1, "200"));
    assert_eq!(
        wire.lines()[6..],
        [
            "3: reset by Server, Some(0) Some(0)",
            "5: reset by Server, Some(0) Some(0)",
            "7: GET /7, 60 bytes",
            "7: reset by Server, Some(0) Some(0)",
            "1: Some(200), 22 bytes",
            "1: Response ends, Some(0)",
        ]
    );
}

#[test]
fn pushed_responses_are_counted_and_their_heads_decoded() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &get(ONLY, 1, "/"));
    // The promise adds ":status: 299" to the table, which the response refers to.
    let promise =
        [&2u32.to_be_bytes()[..], &literals(&[(":method", "GET"), (":path", "/style")]), b"\x48\x03299"].concat();
    wire.call(
        RESPONSE,
        &[frame(5, END_HEADERS, 1, &promise), status(HEAD, 2, "200"), data(END_STREAM, 2, b"css")].concat(),
    );
    wire.call(RESPONSE, &frame(1, ONLY, 1, &[0xbe]));
    assert_eq!(wire.lines()[2..], ["Pushed", "1: Some(299), 10 bytes", "1: Response ends, Some(0)"]);
}

#[test]
fn a_tunnel_ends_with_its_head() {
    let connect = |stream, extended: bool| {
        let fields = [(":method", "CONNECT"), (":authority", "a:1"), (":protocol", "websocket"), (":path", "/ws?q")];
        headers(HEAD, stream, &fields[..if extended { 4 } else { 2 }])
    };
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[connect(1, true), connect(3, false), connect(5, true)].concat());
    wire.call(RESPONSE, &[status(HEAD, 1, "200"), status(HEAD, 3, "200"), status(ONLY, 5, "403")].concat());
    wire.call(REQUEST, &[data(0, 1, b"ping"), data(END_STREAM, 3, b"")].concat());
    wire.call(RESPONSE, &[data(END_STREAM, 1, b"pong"), reset(3)].concat());
    assert_eq!(
        wire.lines(),
        [
            "1: CONNECT /ws?q, 76 bytes",
            "1: Request ends, Some(0)",
            "3: CONNECT a:1, 42 bytes",
            "3: Request ends, Some(0)",
            "5: CONNECT /ws?q, 76 bytes",
            "5: Request ends, Some(0)",
            "1: Some(200), 22 bytes",
            "1: Response ends, Some(0)",
            "Tunnel",
            "3: Some(200), 22 bytes",
            "3: Response ends, Some(0)",
            "Tunnel",
            "5: Some(403), 22 bytes",
            "5: Response ends, Some(0)",
        ]
    );
}

#[test]
fn after_an_upgrade_the_first_response_is_that_of_the_request_before() {
    let mut wire = Wire::new(Http2::upgraded());
    wire.call(RESPONSE, &[frame(4, 0, 0, b""), status(HEAD, 1, "200"), data(END_STREAM, 1, b"ok")].concat());
    wire.call(REQUEST, &[PREFACE, &frame(4, 0, 0, b""), &get(ONLY, 3, "/next")].concat());
    wire.call(RESPONSE, &status(HEAD, 3, "204"));
    assert_eq!(
        wire.lines(),
        [
            "1: Some(200), 22 bytes",
            "1: Response ends, Some(2)",
            "3: GET /next, 63 bytes",
            "3: Request ends, Some(0)",
            "3: Some(204), 22 bytes",
        ]
    );
    let unfinished = Unfinished { request_body: Some(0), response_body: Some(0), ..Unfinished::UNKNOWN };
    assert_eq!(wire.http2.unfinished(StreamId(3)), unfinished);
}

#[test]
fn what_is_no_preface_is_not_read() {
    let mut wire = Wire::new(Http2::default());
    wire.call(REQUEST, &PREFACE[..20]);
    assert!(wire.http2.is_reading());
    wire.call(REQUEST, b"SMTP");
    wire.call(REQUEST, &get(ONLY, 1, "/"));
    assert_eq!(wire.lines(), ["given up: Unreadable"]);
    assert!(!wire.http2.is_reading());
}
