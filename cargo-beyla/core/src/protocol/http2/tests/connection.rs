use super::*;

#[test]
fn a_request_and_its_response() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &get(ONLY, 1, "/a?b=c"));
    wire.call(RESPONSE, &[status(HEAD, 1, "201"), data(0, 1, b"12"), data(END_STREAM, 1, b"345")].concat());
    let lines =
        ["1: GET /a?b=c, 64 bytes", "1: Request ends, Some(0)", "1: Some(201), 22 bytes", "1: Response ends, Some(5)"];
    assert_eq!(wire.lines(), lines);
    assert!(wire.http2.streams.is_empty());
}

#[test]
fn each_moment_is_that_of_a_streams_own_frames() {
    let mut wire = Wire::begun();
    let (first, second) = (get(HEAD, 1, "/1"), get(ONLY, 3, "/3"));
    let start = wire.ends[0];
    wire.streams.arrived(start, 7);
    wire.streams.arrived(start + first.len() as u32, 9);
    // Both in call 3; the second has only begun to be received when the third comes, which is cut in its first bytes.
    let third = get(ONLY, 5, "/5");
    wire.streams.arrived(start + (first.len() + second.len()) as u32, 11);
    wire.call(REQUEST, &[&first[..], &second, &third[..4]].concat());
    wire.call(REQUEST, &third[4..]);
    wire.call(REQUEST, &data(END_STREAM, 1, b"body"));
    // The head of 3 begins in call 6 and ends in call 7, behind the head of 1 and before its end.
    let head = status(HEAD, 3, "200");
    wire.call(RESPONSE, &[&status(HEAD, 1, "200")[..], &head[..3]].concat());
    wire.call(RESPONSE, &head[3..]);
    wire.call(RESPONSE, &[data(END_STREAM, 1, b"1"), data(0, 3, b"3")].concat());
    wire.call(RESPONSE, &data(END_STREAM, 3, b""));
    assert_eq!(
        wire.found.begins,
        [(1, Some(7), 35), (3, Some(9), 35), (5, Some(11), 35), (1, None, 60), (3, None, 60)]
    );
    assert_eq!(
        wire.found.ends,
        [
            (3, REQUEST, Some(35)),
            (5, REQUEST, Some(45)),
            (1, REQUEST, Some(55)),
            (1, RESPONSE, Some(85)),
            (3, RESPONSE, Some(95))
        ]
    );
}

#[test]
fn padding_priority_and_continuation_are_none_of_the_message() {
    let mut wire = Wire::begun();
    let block = literals(&[(":method", "PUT"), (":path", "/p")]);
    let (start, rest) = block.split_at(5);
    let payload = [&[2][..], &[0x80, 0, 0, 0, 16], start, &[0; 2]].concat();
    wire.call(REQUEST, &frame(1, PADDED | PRIORITY, 1, &payload));
    assert_eq!(wire.lines(), [""; 0]);
    wire.call(REQUEST, &[frame(9, 0, 1, &rest[..1]), frame(9, END_HEADERS, 1, &rest[1..])].concat());
    wire.call(REQUEST, &frame(0, PADDED, 1, &[&[3][..], b"content", &[0; 3]].concat()));
    wire.call(REQUEST, &frame(0, PADDED | END_STREAM, 1, &[2, 0, 0]));
    let size = 3 * 9 + payload.len() + rest.len();
    assert_eq!(wire.lines(), [format!("1: PUT /p, {size} bytes"), "1: Request ends, Some(7)".into()]);
    // The end comes with the HEADERS frame, the head with the last CONTINUATION.
    let block = literals(&[(":status", "404")]);
    wire.call(RESPONSE, &frame(1, END_STREAM, 1, &block[..3]));
    assert_eq!(wire.http2.response_begun(), Some((StreamId(1), 70)));
    wire.call(RESPONSE, &frame(9, END_HEADERS, 1, &block[3..]));
    assert_eq!(wire.lines(), ["1: Some(404), 31 bytes", "1: Response ends, Some(0)"]);
    assert_eq!(wire.found.begins.last(), Some(&(1, None, 70)));
    assert_eq!(wire.found.ends.last(), Some(&(1, RESPONSE, Some(85))));
    assert_eq!(wire.http2.response_begun(), None);
}

#[test]
fn interim_responses_are_passed_over_and_trailers_end() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[post(1, "/"), data(0, 1, b"x"), headers(ONLY, 1, &[("digest", "y")])].concat());
    wire.call(RESPONSE, &[status(HEAD, 1, "100"), status(HEAD, 1, "103")].concat());
    wire.call(RESPONSE, &[status(HEAD, 1, "200"), data(0, 1, b"xyz"), headers(ONLY, 1, &[("digest", "y")])].concat());
    let lines =
        ["1: POST /, 32 bytes", "1: Request ends, Some(1)", "1: Some(200), 22 bytes", "1: Response ends, Some(3)"];
    assert_eq!(wire.lines(), lines);
    assert_eq!(wire.found.begins.last(), Some(&(1, None, 50)));
}

#[test]
fn a_response_that_ends_before_its_request() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[post(1, "/"), data(0, 1, b"12345")].concat());
    wire.call(RESPONSE, &[status(ONLY, 1, "413"), reset(1)].concat());
    wire.call(REQUEST, &data(END_STREAM, 1, b"6"));
    assert_eq!(
        wire.lines(),
        [
            "1: POST /, 32 bytes",
            "1: Some(413), 22 bytes",
            "1: Response ends, Some(0)",
            "1: reset by Server, Some(5) Some(0)"
        ]
    );
}

#[test]
fn fields_that_come_again_are_those_of_the_table() {
    let mut wire = Wire::begun();
    // ":path: /x" and a traceparent, both added; then both again, by their index.
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let literal = |name: &str, value: &str| {
        [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let block = [vec![0x82], literal(":path", "/x"), literal("traceparent", parent)].concat();
    wire.call(REQUEST, &frame(1, ONLY, 1, &block));
    wire.call(REQUEST, &frame(1, ONLY, 3, &[0x83, 0xbf, 0xbe]));
    let lines = wire.lines();
    assert_eq!([&*lines[0], &*lines[2]], ["1: GET /x, 89 bytes traced", "3: POST /x, 12 bytes traced"]);
}

#[test]
fn what_a_client_may_not_open_is_none() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[get(ONLY, 2, "/even"), get(ONLY, 5, "/5"), get(ONLY, 3, "/before")].concat());
    // The response to none.
    wire.call(RESPONSE, &[status(ONLY, 7, "200"), status(ONLY, 5, "200")].concat());
    let lines =
        ["5: GET /5, 60 bytes", "5: Request ends, Some(0)", "5: Some(200), 22 bytes", "5: Response ends, Some(0)"];
    assert_eq!(wire.lines(), lines);
}

#[test]
fn streams_heads_and_frames_are_bounded() {
    let mut wire = Wire::begun();
    for stream in 0..STREAMS_MAX as u32 + 2 {
        wire.call(REQUEST, &get(ONLY, 2 * stream + 1, "/"));
    }
    let lines = wire.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("GET")).count(), STREAMS_MAX);
    assert_eq!(lines.iter().filter(|line| *line == "unread").count(), 2);
    assert_eq!(wire.http2.streams.len(), STREAMS_MAX);

    // A head without an end.
    let mut wire = Wire::begun();
    let filler = literals(&[("x", &"y".repeat(100))]).repeat(150);
    wire.call(REQUEST, &frame(1, END_STREAM, 1, &literals(&[(":method", "GET"), (":path", "/long")])));
    for _ in 0..10 {
        wire.call(REQUEST, &frame(9, 0, 1, &filler));
        let kept = wire.http2.requests.block.as_ref().expect("a block").bytes.len();
        assert!(kept <= KEPT_MAX);
    }
    wire.call(REQUEST, &frame(9, END_HEADERS, 1, b""));
    let bytes = 12 * 9 + 26 + 10 * filler.len();
    assert_eq!(
        wire.lines(),
        ["PartialHead".to_string(), format!("1: GET /long, {bytes} bytes"), "1: Request ends, Some(0)".into()]
    );
    // And the longest frame that there is, in two calls.
    let mut long = frame(1, ONLY, 3, &vec![0; (1 << 24) - 1]);
    long[9..9 + 26].copy_from_slice(&literals(&[(":method", "GET"), (":path", "/huge")]));
    let (start, rest) = long.split_at(1 << 20);
    wire.call(REQUEST, start);
    assert!(wire.http2.requests.kept.len() <= KEPT_MAX);
    wire.call(REQUEST, rest);
    assert_eq!(wire.lines()[1], format!("3: GET /huge, {} bytes", 9 + (1 << 24) - 1));
}
