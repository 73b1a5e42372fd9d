//! Bodies that are not captured as a whole, and those without a length.

use super::*;

#[test]
fn large_bodies_are_counted_through_what_is_not_captured() {
    let body = vec![b'x'; 1_000_000];
    let upload = [b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", &body[..]].concat();
    let download = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", &body[..]].concat();
    let summary = check(
        |events| {
            for piece in upload.chunks(70_000) {
                events.receive(1, piece);
            }
            for piece in download.chunks(300_000) {
                events.send(1, piece);
            }
            events.receive(1, GET).transfer(Down, 1, &download, 0).receive(1, GET).send(1, OK)
        },
        &["POST / 200 complete 1000000 1000000", "GET /a - not seen 0 -", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn a_chunked_body_is_counted_as_long_as_its_size_lines_are_seen() {
    let chunk = |length: usize| [format!("{length:x}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(
        |events| {
            events.receive(1, GET).send(1, head);
            for _ in 0..20 {
                events.send(1, chunk(50_000));
            }
            events.send(1, "0\r\n\r\n").receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 1000000", "GET /a 200 complete 0 2"],
    );
}

#[test]
fn where_the_framing_is_lost_the_end_is_found_by_other_means() {
    let chunk = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
    let stream = chunk.repeat(30);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    // By the last bytes of a call.
    let by_tail = check(
        |events| {
            events.receive(1, GET).send(1, head).send(1, &stream).send(1, [&stream, &b"0\r\n\r\n"[..]].concat());
            events.now += 1000;
            events.receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 ?", "GET /a 200 complete 0 2"],
    );
    assert_eq!(by_tail.requests[0].boundaries.ended, 1090);
    // By the next request.
    let by_turn = check(
        |events| {
            events
                .receive(1, GET)
                .send(1, head)
                .send(1, &stream)
                .send(1, [&stream, &b"0\r\nT: t\r\n\r\n"[..]].concat());
            events.now += 1000;
            events.receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 ?", "GET /a 200 complete 0 2"],
    );
    assert_eq!(by_turn.requests[0].boundaries.ended, 1090);
    // By the close, and by the reset that means the opposite.
    for (reset, line) in [(false, "GET /a 200 complete 0 ?"), (true, "GET /a 200 client closed 0 ?")] {
        check(
            |events| {
                events.receive(1, GET).send(1, head).send(1, &stream).send(1, &stream);
                if reset {
                    events.reset(1);
                } else {
                    events.client_closes(1).over(1);
                }
                events
            },
            &[line],
        );
    }
    // Of a request by its response.
    let upload = check(
        |events| {
            events.receive(1, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            events.receive(1, &stream).receive(1, &stream).send(1, OK).receive(1, GET).send(1, OK)
        },
        &["POST / 200 complete ? 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(upload.requests[0].boundaries.received, Some(1070));
}

#[test]
fn responses_that_end_with_the_connection() {
    let head = "HTTP/1.0 200 OK\r\n\r\nsome";
    check(
        |events| events.receive(1, GET).send(1, head).send(1, "more").server_closes(1).over(1),
        &["GET /a 200 complete 0 8"],
    );
    // The client has closed one half, and reads on.
    check(|events| events.receive(1, GET).client_closes(1).send(1, head).over(1), &["GET /a 200 complete 0 4"]);
    check(|events| events.receive(1, GET).send(1, head).client_closes(1).over(1), &["GET /a 200 client closed 0 4"]);
    check(|events| events.receive(1, GET).send(1, head).reset(1), &["GET /a 200 client closed 0 4"]);
    check(|events| events.receive(1, GET).send(1, head), &["GET /a 200 still open 0 4"]);
    let summary =
        check(|events| events.receive(1, GET).send(1, head).server_closes(1).over(1), &["GET /a 200 complete 0 4"]);
    assert_eq!(summary.requests[0].boundaries.ended, 1050);
}

#[test]
fn a_chunked_body_of_any_size_has_its_size_where_its_size_lines_were_captured() {
    let line = "10000\r\n";
    let chunk = [line.as_bytes(), &vec![b'x'; 0x10000], b"\r\n"].concat();
    let chunks = chunk.repeat(8);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let lines: Vec<_> = (0..8).map(|n| n * chunk.len()..n * chunk.len() + line.len()).collect();
    let summary = check(
        |events| {
            events.receive(1, GET).send(1, head);
            for _ in 0..20 {
                events.transfer_in_pieces(Down, 1, &chunks, &lines);
            }
            events.send(1, "0\r\n\r\n").receive(1, GET).send(1, OK)
        },
        &[&format!("GET /a 200 complete 0 {}", 20 * 8 * 0x10000), "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
    // One size line is missing.
    check(
        |events| {
            events.receive(1, GET).send(1, head).transfer_in_pieces(Down, 1, &chunks, &lines[1..]);
            events.send(1, "0\r\n\r\n").receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 ?", "GET /a 200 complete 0 2"],
    );
}

#[test]
fn a_head_is_read_from_whichever_pieces_hold_it() {
    let cookie = "x".repeat(12_000);
    let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\nContent-Length: 100000\r\n\r\n");
    let response = [head.as_bytes(), &vec![b'x'; 100_000]].concat();
    // As writev(2) sends it: each vector is captured as far as there is room.
    let summary = check(
        |events| {
            let pieces = [0..8192, 8192..head.len(), head.len()..head.len() + 256];
            events.receive(1, GET).transfer_in_pieces(Down, 1, &response, &pieces).receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 100000", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.requests[0].response_bytes.map(|bytes| bytes.header), Some(head.len() as u64));
    // The next request follows a body that was not captured at all.
    let pipelined = [POST_1000.as_bytes(), &[b'x'; 1000], GET.as_bytes()].concat();
    check(
        |events| {
            let pieces = [0..POST_1000.len(), POST_1000.len() + 1000..pipelined.len()];
            events.transfer_in_pieces(Up, 1, &pipelined, &pieces).send(1, [OK, OK].concat())
        },
        &["POST / 200 complete 1000 2", "GET /a 200 complete 0 2"],
    );
}

#[test]
fn a_head_that_is_captured_as_a_piece_is_read() {
    let mut events = EventBuilder::with_connection();
    let post = [POST_1000, &"x".repeat(1000)].concat();
    events.transfer_in_pieces(Up, 1, post.as_bytes(), &[0..POST_1000.len(), 500..516]).send(1, OK);
    assert_eq!(lines(&events), ["POST / 200 complete 1000 2"]);
}
