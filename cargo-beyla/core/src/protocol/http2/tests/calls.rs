//! gRPC.

use super::*;

fn call(stream: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":path", "/pkg.Service/Method"),
        ("content-type", "application/grpc+proto"),
        ("grpc-timeout", "250m"),
    ];
    headers(HEAD, stream, &fields)
}

fn answer(flags: u8, stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    headers(flags, stream, &[&[(":status", "200"), ("content-type", "application/grpc")], more].concat())
}

#[test]
fn messages_are_counted_and_the_status_is_in_the_trailers() {
    let mut wire = Wire::begun();
    let content = [message(100), message(0), message(3)].concat();
    wire.call(REQUEST, &[call(1), data(0, 1, &content[..102]), data(END_STREAM, 1, &content[102..])].concat());
    wire.call(RESPONSE, &[answer(HEAD, 1, &[]), data(0, 1, &[message(5), message(6)].concat())].concat());
    wire.call(RESPONSE, &headers(ONLY, 1, &[("grpc-status", "13"), ("grpc-message", "no%20way")]));
    let lines = wire.lines();
    assert!(lines[0].contains("Call { encoding: Binary, timeout: Some(250ms) }"), "{}", lines[0]);
    assert_eq!(
        [&*lines[1], &*lines[3]],
        ["1: Request ends, Some(118), 3 messages", "1: Response ends, Some(21), 2 messages, grpc-status 13"]
    );
}

#[test]
fn the_status_of_a_call_that_fails_at_once_is_in_the_head() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[call(1), data(END_STREAM, 1, &message(1))].concat());
    wire.call(RESPONSE, &answer(ONLY, 1, &[("grpc-status", "12")]));
    assert_eq!(wire.lines().last().map(String::as_str), Some("1: Response ends, Some(0), 0 messages, grpc-status 12"));
}

#[test]
fn a_prefix_in_a_hole_makes_the_count_unknown_and_a_message_in_one_does_not() {
    let mut wire = Wire::begun();
    let frames = [call(1), data(0, 1, &message(200)), data(END_STREAM, 1, &message(300))].concat();
    let second = frames.len() - 9 - 305;
    let captured = [(0, second - 205 + 16), (second, second + 9 + 16)];
    wire.call_with_holes(REQUEST, &frames, &captured);
    assert_eq!(wire.lines()[1], "1: Request ends, Some(510), 2 messages");
    let frames = [call(3), data(END_STREAM, 3, &[message(200), message(300)].concat())].concat();
    let content = frames.len() - 510;
    wire.call_with_holes(REQUEST, &frames, &[(0, content + 16)]);
    assert_eq!(wire.lines()[1], "3: Request ends, Some(510)");
}

#[test]
fn a_call_that_is_broken_off_has_the_messages_until_then() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[call(1), data(0, 1, &[message(1), message(2)].concat())].concat());
    wire.call(RESPONSE, &[answer(HEAD, 1, &[]), data(0, 1, &[message(5), message(6), message(7)].concat())].concat());
    let unfinished = wire.http2.unfinished(StreamId(1));
    assert_eq!((unfinished.request_grpc.messages, unfinished.response_grpc.messages), (Some(2), Some(3)));
    wire.call(REQUEST, &frame(3, 0, 1, b"\0\0\0\x08"));
    assert_eq!(
        wire.lines().last().map(String::as_str),
        Some("1: reset by Client, Some(13) Some(33), 2 and 3 messages")
    );
}

#[test]
fn the_response_may_be_encoded_in_another_way_than_the_request() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[call(1), data(END_STREAM, 1, &message(1))].concat());
    let text = headers(HEAD, 1, &[(":status", "200"), ("content-type", "application/grpc-web-text+proto")]);
    // An empty message, then the trailers.
    wire.call(RESPONSE, &[text, data(END_STREAM, 1, b"AAAAAAA=gAAAAA9ncnBjLXN0YXR1czo1DQo=")].concat());
    let last = wire.lines().pop();
    assert_eq!(last.as_deref(), Some("1: Response ends, Some(36), 1 messages, grpc-status 5"));
}

#[test]
fn an_answer_that_is_no_grpc_has_no_messages() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[call(1), data(END_STREAM, 1, &message(1))].concat());
    let head = headers(HEAD, 1, &[(":status", "502"), ("content-type", "text/html")]);
    wire.call(RESPONSE, &[head, data(END_STREAM, 1, b"<html>bad gateway")].concat());
    assert_eq!(wire.lines().last().map(String::as_str), Some("1: Response ends, Some(17)"));
}
