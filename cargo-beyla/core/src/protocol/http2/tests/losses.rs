use super::*;

/// A field that the table gets, and a reference to it.
const PATH: &[u8] = b"\x44\x02/p";

fn indexed(stream: u32) -> Vec<u8> {
    frame(1, ONLY, stream, &[0x82, 0xbe])
}

#[test]
fn of_data_the_first_bytes_suffice() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &post(1, "/"));
    let frames = [data(0, 1, &[b'x'; 1000]), data(END_STREAM, 1, &[b'x'; 500]), get(ONLY, 3, "/3")].concat();
    wire.call_with_holes(REQUEST, &frames, &[(0, 9 + 16), (1009, 1009 + 9), (1518, frames.len())]);
    // A part of the content moves unseen, in the midst of a frame.
    let head = [status(HEAD, 1, "200"), data(0, 1, &[b'y'; 1000])].concat();
    wire.call_with_holes(RESPONSE, &head[..500], &[(0, 40)]);
    wire.gap(RESPONSE, &head[500..]);
    wire.call(RESPONSE, &data(END_STREAM, 1, b"y"));
    assert_eq!(
        wire.lines(),
        [
            "1: POST /, 32 bytes",
            "1: Request ends, Some(1500)",
            "3: GET /3, 60 bytes",
            "3: Request ends, Some(0)",
            "1: Some(200), 22 bytes",
            "1: Response ends, Some(1001)",
        ]
    );
}

#[test]
fn padding_that_was_not_captured_makes_the_size_unknown() {
    let mut wire = Wire::begun();
    let frames = [post(1, "/"), frame(0, PADDED | END_STREAM, 1, &[3; 100])].concat();
    wire.call_with_holes(REQUEST, &frames, &[(0, 41)]);
    assert_eq!(wire.lines(), ["1: POST /, 32 bytes", "1: Request ends, None"]);
    assert_eq!(wire.found.ends, [(1, REQUEST, Some(35))]);
}

#[test]
fn a_call_that_begins_with_frames_is_a_place_to_go_on() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[frame(1, ONLY, 1, &[&[0x82], PATH].concat()), post(3, "/3"), data(0, 3, b"12")].concat());
    wire.call(RESPONSE, &[status(HEAD, 3, "200"), data(0, 3, b"12")].concat());
    wire.lines();
    // Unseen: stream 5 begins, stream 3 goes on.
    wire.gap(REQUEST, &[indexed(5), data(0, 3, b"345")].concat());
    wire.call(REQUEST, b"in the midst of something");
    wire.call(REQUEST, &[data(0, 3, b"6"), indexed(7)].concat());
    // The path comes again, and then it is known.
    wire.call(REQUEST, &[frame(1, ONLY, 9, &[&[0x82], PATH].concat()), indexed(11)].concat());
    wire.call(RESPONSE, &[data(END_STREAM, 3, b"34"), status(ONLY, 1, "200")].concat());
    assert_eq!(
        wire.lines(),
        [
            "PartialHead",
            "7: GET -, 11 bytes",
            "7: Request ends, Some(0)",
            "9: GET /p, 14 bytes",
            "9: Request ends, Some(0)",
            "11: GET /p, 11 bytes",
            "11: Request ends, Some(0)",
            // Its end may have moved unseen, and how much it was.
            "3: Request ends, None",
            "3: Response ends, Some(4)",
            "1: Some(200), 22 bytes",
            "1: Response ends, Some(0)",
        ]
    );
}

#[test]
fn responses_that_may_have_gone_by_unseen() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[get(ONLY, 1, "/1"), get(ONLY, 3, "/3"), get(ONLY, 5, "/5"), get(ONLY, 7, "/7")].concat());
    wire.call(RESPONSE, &[status(HEAD, 1, "200"), data(0, 1, b"12")].concat());
    wire.lines();
    wire.gap(RESPONSE, &[data(0, 1, b"34"), status(ONLY, 3, "200"), status(HEAD, 7, "200")].concat());
    wire.call(RESPONSE, &[data(END_STREAM, 1, b"5"), status(ONLY, 5, "200"), data(END_STREAM, 7, b"1")].concat());
    assert_eq!(
        wire.lines(),
        ["1: Response ends, None", "5: Some(200), 22 bytes", "5: Response ends, Some(0)", "7: unseen"]
    );
    assert_eq!(wire.http2.unfinished(StreamId(3)).response, UnfinishedResponse::Unseen);
    assert_eq!(wire.http2.streams.len(), 1);
}

#[test]
fn a_hole_in_a_head_hides_the_rest_of_it_and_the_table() {
    let mut wire = Wire::begun();
    let frames = [frame(1, ONLY, 1, &[&[0x82], PATH, &literals(&[("x", "y")])].concat()), indexed(3)].concat();
    wire.call_with_holes(REQUEST, &frames, &[(0, 9 + 5), (9 + 10, frames.len())]);
    assert_eq!(
        wire.lines(),
        [
            "PartialHead",
            "1: GET /p, 19 bytes",
            "1: Request ends, Some(0)",
            "PartialHead",
            "3: GET -, 11 bytes",
            "3: Request ends, Some(0)",
        ]
    );
    // In the first bytes of a frame: out of step, until a call begins with frames.
    let frames = [get(ONLY, 5, "/5"), get(ONLY, 7, "/7")].concat();
    wire.call_with_holes(REQUEST, &frames, &[(0, 63), (66, frames.len())]);
    wire.call(REQUEST, &get(ONLY, 9, "/9"));
    assert_eq!(
        wire.lines(),
        [
            "5: GET /5, 60 bytes",
            "5: Request ends, Some(0)",
            "unread",
            "9: GET /9, 60 bytes",
            "9: Request ends, Some(0)",
        ]
    );
}

#[test]
fn a_connection_that_was_met_in_the_midst() {
    let mut wire = Wire::new(Http2::joined());
    wire.call(REQUEST, b"the rest of a frame");
    wire.call(RESPONSE, &[data(END_STREAM, 1, b"rest"), frame(8, 0, 0, &[0; 4])].concat());
    // All of a head refers to what is not known; then its method does not.
    wire.call(REQUEST, &frame(1, ONLY, 9, &[0xbe, 0xbf]));
    wire.call(REQUEST, &indexed(11));
    wire.call(RESPONSE, &[frame(1, ONLY, 9, &[0xbe]), frame(1, ONLY, 11, &[0xbe])].concat());
    // The rest of a block without its beginning, and trailers of a request from before.
    wire.call(REQUEST, &[frame(9, END_HEADERS, 3, b"\x82"), headers(ONLY, 5, &[("x", "y")])].concat());
    wire.call(REQUEST, &get(ONLY, 13, "/13"));
    assert_eq!(
        wire.lines(),
        [
            "unread",
            "PartialHead",
            "11: GET -, 11 bytes",
            "11: Request ends, Some(0)",
            "PartialHead",
            "11: None, 10 bytes",
            "11: Response ends, Some(0)",
            "13: GET /13, 61 bytes",
            "13: Request ends, Some(0)",
        ]
    );
    // From its first byte after all.
    let mut wire = Wire::new(Http2::joined());
    wire.call(REQUEST, &[PREFACE, &frame(4, 0, 0, b""), &get(ONLY, 1, "/")].concat());
    assert_eq!(wire.lines().len(), 2);
}

#[test]
fn a_block_that_breaks_off_is_a_request_unread() {
    let mut wire = Wire::begun();
    wire.call(REQUEST, &[frame(1, 0, 1, &[0x82]), frame(6, 0, 0, &[0; 8]), get(ONLY, 3, "/3")].concat());
    assert_eq!(wire.lines(), ["unread", "3: GET /3, 60 bytes", "3: Request ends, Some(0)"]);
    // What is no frame is the end of what can be read.
    wire.call(REQUEST, &[frame(6, 0, 0, &[0; 7]), get(ONLY, 5, "/5")].concat());
    wire.call(REQUEST, &get(ONLY, 7, "/7"));
    assert_eq!(wire.lines(), ["unread", "7: GET /7, 60 bytes", "7: Request ends, Some(0)"]);
}

#[test]
fn streams_that_may_be_over_make_room() {
    let mut wire = Wire::begun();
    for stream in 0..STREAMS_MAX as u32 {
        wire.call(REQUEST, &get(ONLY, 2 * stream + 1, "/"));
    }
    wire.gap(RESPONSE, &status(ONLY, 1, "200"));
    wire.call(RESPONSE, &status(HEAD, 3, "200"));
    wire.lines();
    wire.call(REQUEST, &get(ONLY, 2 * STREAMS_MAX as u32 + 1, "/"));
    let lines = wire.lines();
    assert_eq!((&*lines[0], &*lines[1], lines.len()), ("1: unseen", "5: unseen", STREAMS_MAX - 1 + 2));
    assert_eq!(wire.http2.streams.len(), 2);
}
