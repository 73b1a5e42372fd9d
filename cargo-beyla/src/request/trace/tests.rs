//! Every odd case of a connection, each by the records that tell of it.

use super::*;
use crate::request::model::{MessageBytes, Outcome, Request};
use crate::request::summary::Unseen;
use crate::request::tape::Tape;
use Direction::{Request as Up, Response as Down};

const GET: &str = "GET /a HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// `METHOD path?query status outcome body-sizes`, a line a request.
fn lines(tape: &Tape) -> Vec<String> {
    tape.summary()
        .requests
        .iter()
        .map(|request| line(request))
        .collect()
}

fn line(request: &Request) -> String {
    let size = |bytes: Option<MessageBytes>| match bytes {
        Some(MessageBytes {
            body: Some(body), ..
        }) => body.to_string(),
        Some(MessageBytes { body: None, .. }) => "?".into(),
        None => "-".into(),
    };
    format!(
        "{} {}{} {} {} {} {}",
        request.method,
        request.path,
        request
            .query
            .as_ref()
            .map(|query| format!("?{query}"))
            .unwrap_or_default(),
        request
            .status
            .map_or("-".into(), |status| status.to_string()),
        request.outcome.label(),
        size(Some(request.request_bytes)),
        size(request.response_bytes),
    )
}

#[track_caller]
fn check(build: impl FnOnce(&mut Tape) -> &mut Tape, expected: &[&str]) -> Summary {
    let mut tape = Tape::with_connection();
    build(&mut tape);
    assert_eq!(lines(&tape), expected);
    tape.summary()
}

#[test]
fn one_request_and_its_times() {
    let mut tape = Tape::new();
    tape.listen(8080).open(1).receive(1, GET).send(1, OK);
    tape.over(1);
    let summary = tape.summary();
    let [request] = &summary.requests[..] else {
        panic!("one request")
    };
    assert_eq!(line(request), "GET /a 200 complete 0 2");
    assert_eq!(
        (
            request.request_bytes.header,
            request.response_bytes.map(|bytes| bytes.header)
        ),
        (GET.len() as u64, Some(OK.len() as u64 - 2))
    );
    let boundaries = request.boundaries;
    assert_eq!(
        (boundaries.connected, boundaries.accepted),
        (Some(1000), Some(1010))
    );
    assert_eq!(
        (boundaries.arrived, boundaries.read, boundaries.received),
        (Some(1020), 1030, Some(1030))
    );
    assert_eq!((boundaries.responded, boundaries.ended), (Some(1040), 1050));
    assert_eq!(request.connection.server.to_string(), "127.0.0.1:8080");
    assert_eq!(request.connection.client.to_string(), "127.0.0.1:50000");
    assert_eq!(
        (request.id, request.connection.id, request.protocol),
        (1, 1, "http/1.1")
    );
    assert_eq!(summary.listening.len(), 1);
    assert_eq!(
        (
            summary.totals.requests,
            summary.totals.connections,
            summary.totals.errors
        ),
        (1, 1, 0)
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn keep_alive_and_only_the_first_request_has_been_accepted() {
    let summary = check(
        |tape| {
            tape.receive(1, GET)
                .send(1, OK)
                .receive(1, "PUT /b HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
            tape.send(1, "HTTP/1.0 503 No\r\nContent-Length: 0\r\n\r\n")
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
        |tape| {
            tape.receive(
                1,
                [
                    "GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\n\r\nHEAD /3 HT",
                    "",
                ]
                .concat(),
            );
            tape.send(1, OK)
                .receive(1, "TP/1.1\r\n\r\n")
                .send(1, [OK, "HTTP/1.1 204 No\r\n\r\n"].concat())
        },
        &[
            "GET /1 200 complete 0 2",
            "GET /2 200 complete 0 2",
            "HEAD /3 204 complete 0 0",
        ],
    );
    assert_eq!(
        summary.requests[2].boundaries.received,
        Some(summary.requests[2].boundaries.read + 40)
    );
}

#[test]
fn chunks_both_ways() {
    check(
        |tape| {
            tape.receive(1, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n3;x=y\r\nabc\r\n");
            tape.receive(1, "2\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
            tape.send(1, "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n")
                .send(1, "a\r\n0123456789\r\n");
            tape.send(1, "0\r\n")
                .send(1, "\r\n")
                .receive(1, GET)
                .send(1, OK)
        },
        &["POST / 200 complete 5 10", "GET /a 200 complete 0 2"],
    );
}

#[test]
fn responses_without_content() {
    check(
        |tape| {
            tape.receive(1, "HEAD /h HTTP/1.1\r\n\r\n")
                .send(1, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
            tape.receive(1, GET)
                .send(1, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
            tape.receive(1, GET)
                .send(1, "HTTP/1.1 204 No Content\r\n\r\n");
            tape.receive(1, GET).send(1, OK)
        },
        &[
            "HEAD /h 200 complete 0 0",
            "GET /a 304 complete 0 0",
            "GET /a 204 complete 0 0",
            "GET /a 200 complete 0 2",
        ],
    );
}

#[test]
fn expect_continue_begins_the_response_with_the_final_one() {
    let head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let summary = check(
        |tape| {
            tape.receive(1, head)
                .send(1, "HTTP/1.1 100 Continue\r\n\r\n")
                .receive(1, "body")
                .send(1, OK)
        },
        &["POST / 200 complete 4 2"],
    );
    let boundaries = summary.requests[0].boundaries;
    assert_eq!(
        (boundaries.received, boundaries.responded),
        (Some(1070), Some(1080))
    );
    let summary = check(
        |tape| {
            tape.receive(1, head).receive(1, "body").send(
                1,
                ["HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK].concat(),
            )
        },
        &["POST / 200 complete 4 2"],
    );
    assert_eq!(summary.requests[0].boundaries.responded, Some(1060));
}

#[test]
fn upgrades_and_tunnels_end_the_reading() {
    let upgrade = "GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let summary = check(
        |tape| {
            tape.receive(1, upgrade)
                .send(1, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02");
            tape.receive(1, "\x01")
                .unseen(Up, 1, 10)
                .receive(1, GET)
                .server_closes(1)
                .over(1)
        },
        &["GET /ws 101 complete 0 0"],
    );
    assert_eq!(
        summary.unseen,
        (Unseen {
            upgraded_connections: 1,
            ..Default::default()
        })
    );
    let summary = check(
        |tape| {
            tape.receive(1, "CONNECT host:443 HTTP/1.1\r\n\r\n")
                .send(1, "HTTP/1.1 200 OK\r\n\r\n\x16\x03")
        },
        &["CONNECT host:443 200 complete 0 0"],
    );
    assert_eq!(summary.unseen.upgraded_connections, 1);
    let refused = check(
        |tape| {
            tape.receive(1, [upgrade, "\x01\x02 early\n\n"].concat())
                .send(1, OK)
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /ws 200 complete 0 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(refused.unseen, Unseen::default());
}

#[test]
fn methods_and_targets() {
    check(
        |tape| {
            for line in [
                "OPTIONS *",
                "M-SEARCH http://h/x?q",
                "GET http://h",
                "X!# /p?",
                "PROPFIND /%20",
            ] {
                tape.receive(1, format!("{line} HTTP/1.1\r\n\r\n"))
                    .send(1, OK);
            }
            tape
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
    check(
        |tape| tape.receive(1, head(16384)).send(1, OK),
        &["GET / 200 complete 0 2"],
    );
    let summary = check(
        |tape| {
            for piece in head(16385).as_bytes().chunks(1000) {
                tape.receive(1, piece);
            }
            tape.send(1, "HTTP/1.1 431 Too Large\r\n\r\n")
        },
        &[],
    );
    assert_eq!(
        summary.unseen,
        (Unseen {
            unreadable_connections: 1,
            ..Default::default()
        })
    );
}

#[test]
fn large_bodies_are_counted_through_what_is_not_captured() {
    let body = vec![b'x'; 1_000_000];
    let upload = [
        b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
        &body[..],
    ]
    .concat();
    let download = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        &body[..],
    ]
    .concat();
    let summary = check(
        |tape| {
            for piece in upload.chunks(70_000) {
                tape.receive(1, piece);
            }
            for piece in download.chunks(300_000) {
                tape.send(1, piece);
            }
            tape.receive(1, GET)
                .transfer(Down, 1, &download, 0)
                .receive(1, GET)
                .send(1, OK)
        },
        &[
            "POST / 200 complete 1000000 1000000",
            "GET /a - not seen 0 -",
            "GET /a 200 complete 0 2",
        ],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn a_chunked_body_is_counted_as_long_as_its_size_lines_are_seen() {
    let chunk = |length: usize| {
        [
            format!("{length:x}\r\n").as_bytes(),
            &vec![b'x'; length],
            b"\r\n",
        ]
        .concat()
    };
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(
        |tape| {
            tape.receive(1, GET).send(1, head);
            for _ in 0..20 {
                tape.send(1, chunk(50_000));
            }
            tape.send(1, "0\r\n\r\n").receive(1, GET).send(1, OK)
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
        |tape| {
            tape.receive(1, GET)
                .send(1, head)
                .send(1, &stream)
                .send(1, [&stream, &b"0\r\n\r\n"[..]].concat());
            tape.now += 1000;
            tape.receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 ?", "GET /a 200 complete 0 2"],
    );
    assert_eq!(by_tail.requests[0].boundaries.ended, 1090);
    // By the next request.
    let by_turn = check(
        |tape| {
            tape.receive(1, GET)
                .send(1, head)
                .send(1, &stream)
                .send(1, [&stream, &b"0\r\nT: t\r\n\r\n"[..]].concat());
            tape.now += 1000;
            tape.receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 ?", "GET /a 200 complete 0 2"],
    );
    assert_eq!(by_turn.requests[0].boundaries.ended, 1090);
    // By the close, and by the reset that means the opposite.
    for (reset, line) in [
        (false, "GET /a 200 complete 0 ?"),
        (true, "GET /a 200 client closed 0 ?"),
    ] {
        check(
            |tape| {
                tape.receive(1, GET)
                    .send(1, head)
                    .send(1, &stream)
                    .send(1, &stream);
                if reset {
                    tape.reset(1);
                } else {
                    tape.client_closes(1).over(1);
                }
                tape
            },
            &[line],
        );
    }
    // Of a request by its response.
    let upload = check(
        |tape| {
            tape.receive(1, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
            tape.receive(1, &stream)
                .receive(1, &stream)
                .send(1, OK)
                .receive(1, GET)
                .send(1, OK)
        },
        &["POST / 200 complete ? 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(upload.requests[0].boundaries.received, Some(1070));
}

#[test]
fn responses_that_end_with_the_connection() {
    let head = "HTTP/1.0 200 OK\r\n\r\nsome";
    check(
        |tape| {
            tape.receive(1, GET)
                .send(1, head)
                .send(1, "more")
                .server_closes(1)
                .over(1)
        },
        &["GET /a 200 complete 0 8"],
    );
    // The client has closed one half, and reads on.
    check(
        |tape| tape.receive(1, GET).client_closes(1).send(1, head).over(1),
        &["GET /a 200 complete 0 4"],
    );
    check(
        |tape| tape.receive(1, GET).send(1, head).client_closes(1).over(1),
        &["GET /a 200 client closed 0 4"],
    );
    check(
        |tape| tape.receive(1, GET).send(1, head).reset(1),
        &["GET /a 200 client closed 0 4"],
    );
    check(
        |tape| tape.receive(1, GET).send(1, head),
        &["GET /a 200 still open 0 4"],
    );
    let summary = check(
        |tape| tape.receive(1, GET).send(1, head).server_closes(1).over(1),
        &["GET /a 200 complete 0 4"],
    );
    assert_eq!(summary.requests[0].boundaries.ended, 1050);
}

#[test]
fn who_closed_first() {
    for (build, expected) in [
        (
            (|tape| tape.client_closes(1).over(1)) as fn(&mut Tape) -> &mut Tape,
            "GET /a - client closed 0 -",
        ),
        (|tape| tape.client_closes(1), "GET /a - client closed 0 -"),
        (|tape| tape.reset(1), "GET /a - client closed 0 -"),
        (
            |tape| tape.end_of_stream(1).over(1),
            "GET /a - client closed 0 -",
        ),
        (
            |tape| tape.server_closes(1).over(1),
            "GET /a - server closed 0 -",
        ),
        (|tape| tape.over(1), "GET /a - server closed 0 -"),
        (|tape| tape, "GET /a - still open 0 -"),
        (
            |tape| tape.client_closes(1).send(1, OK).over(1),
            "GET /a 200 complete 0 2",
        ),
        (
            |tape| tape.send(1, &OK[..OK.len() - 1]).server_closes(1).over(1),
            "GET /a 200 server closed 0 1",
        ),
        (
            |tape| tape.send(1, &OK[..OK.len() - 1]).reset(1),
            "GET /a 200 client closed 0 1",
        ),
        (
            |tape| tape.send(1, &OK[..OK.len() - 1]),
            "GET /a 200 still open 0 1",
        ),
        (
            |tape| tape.send(1, &OK[..9]).over(1),
            "GET /a - server closed 0 -",
        ),
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
        assert_eq!(
            summary.totals.incomplete,
            u64::from(!expected.contains("complete"))
        );
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
    let summary = check(
        |tape| tape.receive(1, post).reset(1),
        &["POST / - client closed 3 -"],
    );
    assert_eq!(summary.requests[0].boundaries.received, None);
    assert_eq!(summary.requests[0].boundaries.phases().handle, None);
    check(|tape| tape.receive(1, &post[..20]).reset(1), &[]);
}

#[test]
fn an_early_response() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc";
    let summary = check(
        |tape| {
            tape.receive(1, post)
                .send(1, OK)
                .receive(1, "defghij")
                .receive(1, GET)
                .send(1, OK)
        },
        &["POST / 200 complete 10 2", "GET /a 200 complete 0 2"],
    );
    let boundaries = summary.requests[0].boundaries;
    assert_eq!(
        (boundaries.received, boundaries.responded),
        (Some(1040), Some(1040))
    );
    check(
        |tape| tape.receive(1, post).send(1, OK).server_closes(1).over(1),
        &["POST / 200 complete 3 2"],
    );
}

#[test]
fn what_is_not_http_1_is_counted() {
    for (up, down, unseen) in [
        (
            "\x16\x03\x01\x02",
            "",
            Unseen {
                tls_connections: 1,
                ..Default::default()
            },
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "",
            Unseen {
                http2_connections: 1,
                ..Default::default()
            },
        ),
        (
            "*1\r\n$4\r\nPING\r\n",
            "+PONG\r\n",
            Unseen {
                unreadable_connections: 1,
                ..Default::default()
            },
        ),
        (
            "",
            "220 ready\r\n",
            Unseen {
                unreadable_connections: 1,
                ..Default::default()
            },
        ),
        (
            "GET /\r\n",
            "",
            Unseen {
                unreadable_connections: 1,
                ..Default::default()
            },
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "",
            Unseen {
                unreadable_connections: 1,
                ..Default::default()
            },
        ),
        ("GET", "", Unseen::default()),
    ] {
        for step in [1, 2, 100] {
            let summary = check(
                |tape| {
                    for piece in up.as_bytes().chunks(step) {
                        tape.receive(1, piece);
                    }
                    for piece in down.as_bytes().chunks(step) {
                        tape.send(1, piece);
                    }
                    tape.client_closes(1).over(1)
                },
                &[],
            );
            assert_eq!(summary.unseen, unseen, "{up:?} {step}");
        }
    }
}

#[test]
fn garbage_behind_a_request_leaves_its_response() {
    let summary = check(
        |tape| {
            tape.receive(1, [GET, "\x01\x02\n\n"].concat())
                .send(1, OK)
                .over(1)
        },
        &["GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen.unreadable_connections, 1);
    let summary = check(
        |tape| tape.receive(1, GET).send(1, "SMTP\x01").over(1),
        &["GET /a - not seen 0 -"],
    );
    assert_eq!(summary.unseen.unreadable_connections, 1);
}

#[test]
fn a_response_to_no_request_is_passed_over() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate";
    check(|tape| tape.send(1, timeout).server_closes(1).over(1), &[]);
    check(
        |tape| {
            tape.receive(1, "GE")
                .send(1, timeout)
                .server_closes(1)
                .over(1)
        },
        &[],
    );
    let summary = check(
        |tape| {
            tape.receive(1, GET)
                .send(1, OK)
                .send(1, timeout)
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /a 200 complete 0 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[track_caller]
fn check_unseen(
    build: impl FnOnce(&mut Tape) -> &mut Tape,
    expected: &[&str],
    missing_bytes: u64,
) -> Summary {
    let summary = check(build, expected);
    let unseen = Unseen {
        missing_bytes,
        ..Default::default()
    };
    assert_eq!(summary.unseen, unseen);
    summary
}

#[test]
fn an_upload_that_was_spliced_has_its_size_and_not_its_end() {
    let summary = check_unseen(
        |tape| {
            tape.receive(1, POST_1000)
                .unseen(Up, 1, 1000)
                .send(1, OK)
                .receive(1, GET)
                .send(1, OK)
        },
        &["POST / 200 complete 1000 2", "GET /a 200 complete 0 2"],
        1000,
    );
    assert_eq!(summary.requests[0].boundaries.received, None);
    assert_eq!(summary.requests[0].boundaries.phases().handle, Some(30));
}

#[test]
fn a_response_of_which_bytes_moved_unseen() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab";
    check_unseen(
        |tape| {
            tape.receive(1, GET)
                .send(1, head)
                .unseen(Down, 1, 5)
                .send(1, "hij")
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /a 200 complete 0 10", "GET /a 200 complete 0 2"],
        5,
    );
    check_unseen(
        |tape| {
            tape.receive(1, GET)
                .send(1, head)
                .unseen(Down, 1, 8)
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /a 200 not seen 0 10", "GET /a 200 complete 0 2"],
        8,
    );
    let summary = check_unseen(
        |tape| {
            tape.receive(1, GET)
                .unseen(Down, 1, 40)
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /a - not seen 0 -", "GET /a 200 complete 0 2"],
        40,
    );
    assert_eq!(summary.requests[0].boundaries.phases().handle, None);
    check_unseen(
        |tape| {
            tape.receive(1, GET)
                .unseen(Down, 1, 40)
                .server_closes(1)
                .over(1)
        },
        &["GET /a - not seen 0 -"],
        40,
    );
}

#[test]
fn requests_that_moved_unseen_and_their_responses() {
    check_unseen(
        |tape| {
            tape.receive(1, GET)
                .send(1, OK)
                .unseen(Up, 1, 30)
                .unseen(Down, 1, 50);
            tape.receive(1, GET).send(1, OK).receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 2"; 3],
        80,
    );
    check_unseen(
        |tape| {
            tape.receive(1, GET)
                .send(1, OK)
                .unseen(Up, 1, 30)
                .send(1, OK)
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /a 200 complete 0 2"; 2],
        30,
    );
    // The FIN takes one number of those at the end.
    check_unseen(
        |tape| {
            tape.receive(1, GET)
                .send(1, OK)
                .unseen(Up, 1, 9)
                .client_closes(1)
                .over(1)
        },
        &["GET /a 200 complete 0 2"],
        8,
    );
}

#[test]
fn bytes_that_moved_unseen_in_the_midst_of_heads() {
    check_unseen(
        |tape| {
            tape.receive(1, "GET /a HT")
                .unseen(Up, 1, 10)
                .send(1, OK)
                .receive(1, GET);
            tape.send(1, "HTTP/1.1 20")
                .unseen(Down, 1, 7)
                .send(1, "\r\n\r\nok")
                .receive(1, GET)
                .send(1, OK)
        },
        &["GET /a - not seen 0 -", "GET /a 200 complete 0 2"],
        17,
    );
}

const POST_1000: &str = "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";

#[test]
fn a_request_that_had_arrived_before_a_reset() {
    check(
        |tape| tape.reset(1).receive(1, GET),
        &["GET /a - client closed 0 -"],
    );
}

#[test]
fn a_connection_whose_beginning_was_lost() {
    let mut tape = Tape::new();
    tape.open(1);
    tape.bytes.clear();
    tape.receive(1, "tail of a body")
        .receive(1, GET)
        .send(1, OK);
    // What was not seen from the start cannot be told from another protocol.
    assert_eq!(tape.summary().totals.connections, 1);
    let mut tape = Tape::new();
    tape.open(1);
    tape.bytes.clear();
    tape.receive(1, GET).send(1, OK);
    assert_eq!(lines(&tape), ["GET /a 200 complete 0 2"]);
}

#[test]
fn unix_sockets() {
    let mut tape = Tape::new();
    tape.open_unix(1, b"/run/a.sock")
        .receive(1, GET)
        .send(1, OK)
        .receive(1, GET)
        .over(1);
    tape.open_unix(2, b"\0b")
        .receive(2, GET)
        .end_of_stream(2)
        .over(2);
    assert_eq!(
        lines(&tape),
        [
            "GET /a 200 complete 0 2",
            "GET /a - server closed 0 -",
            "GET /a - client closed 0 -"
        ]
    );
    let servers = tape
        .summary()
        .requests
        .iter()
        .map(|r| r.connection.server.to_string())
        .collect::<Vec<_>>();
    assert_eq!(servers, ["unix:/run/a.sock", "unix:/run/a.sock", "unix:@b"]);
}

#[test]
fn many_connections_and_the_slowest_are_kept() {
    let mut tape = Tape::new();
    for connection in 1..=1000 {
        tape.open(connection).receive(connection, GET);
        tape.now += if connection % 100 == 0 {
            1000 + connection
        } else {
            0
        };
        tape.send(connection, OK)
            .client_closes(connection)
            .over(connection);
    }
    let summary = tape.summary_keeping(10);
    assert_eq!(
        (summary.totals.requests, summary.totals.connections),
        (1000, 1000)
    );
    assert_eq!(summary.totals.requests_not_kept, 990);
    let ids: Vec<_> = summary.requests.iter().map(|request| request.id).collect();
    assert_eq!(ids, (1..=10).map(|n| n * 100).collect::<Vec<_>>());
    assert_eq!(
        (
            summary.routes[0].count,
            summary.routes[0].total.map(|total| total.max)
        ),
        (1000, Some(2030))
    );
}

#[test]
fn what_could_not_be_recorded_is_passed_on() {
    let mut tape = Tape::with_connection();
    tape.lost(5).lost(4).io_uring().io_uring();
    let unseen = Unseen {
        lost_records: 5,
        skipped_probes: 3,
        untracked_connections: 2,
        io_urings: 2,
        ..Default::default()
    };
    assert_eq!(tape.summary().unseen, unseen);
}

#[test]
fn live_figures() {
    let mut tape = Tape::with_connection();
    tape.receive(1, GET)
        .send(1, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        .receive(1, GET);
    let routes = RouteTable::new(&[]).expect("no patterns");
    let mut trace = Trace::new(TraceSettings {
        routes,
        max_requests: 1,
    });
    let mut bytes = &tape.bytes[..];
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        trace.record(&event);
        bytes = &bytes[size..];
    }
    let live = trace.live(tape.now);
    assert_eq!(
        live,
        Live {
            requests: 2,
            errors: 1,
            p99_ns: Some(30)
        }
    );
    assert_eq!(trace.live(tape.now + 10_000_000_000).p99_ns, None);
    assert_eq!(
        trace.finish(tape.now).requests[0].outcome,
        Outcome::Complete
    );
}

/// Run by hand, with `--ignored`, when the records change: the fuzzer begins with what these hold.
#[test]
#[ignore = "writes fuzz/seeds"]
fn seeds_of_the_fuzzer() {
    let seeds: [(&str, fn(&mut Tape) -> &mut Tape); 9] = [
        ("keep-alive", |tape| {
            tape.receive(1, GET)
                .send(1, OK)
                .receive(1, GET)
                .send(1, OK)
                .client_closes(1)
                .over(1)
        }),
        ("pipelined", |tape| {
            tape.receive(1, [GET, GET, GET].concat())
                .send(1, [OK, OK].concat())
                .send(1, OK)
        }),
        ("chunked", |tape| {
            tape.receive(1, CHUNKED_POST)
                .send(1, CHUNKED)
                .send(1, "0\r\n\r\n")
                .server_closes(1)
                .over(1)
        }),
        ("until-close", |tape| {
            tape.receive(1, GET)
                .client_closes(1)
                .send(1, "HTTP/1.0 200 OK\r\n\r\nsome")
                .over(1)
        }),
        ("upgrade", |tape| {
            tape.receive(1, "GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n\x01")
                .send(1, "HTTP/1.1 101 S\r\n\r\n\x01")
        }),
        ("continue", |tape| {
            tape.receive(1, POST_1000)
                .send(1, "HTTP/1.1 100 Continue\r\n\r\n")
                .unseen(Up, 1, 1000)
                .send(1, OK)
        }),
        ("gaps", |tape| {
            tape.receive(1, "GET / HT")
                .unseen(Up, 1, 9)
                .receive(1, GET)
                .unseen(Down, 1, 9)
                .send(1, OK)
                .reset(1)
        }),
        ("framing-lost", |tape| {
            tape.receive(1, GET)
                .send(1, CHUNKED)
                .transfer(Down, 1, &[b'x'; 99], 9)
                .send(1, "xx\r\n0\r\n\r\n")
                .over(1)
        }),
        ("unix", |tape| {
            tape.open_unix(2, b"/run/a.sock")
                .receive(2, GET)
                .send(2, OK)
                .end_of_stream(2)
                .lost(1)
                .io_uring()
        }),
    ];
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/records");
    std::fs::create_dir_all(&directory).expect("a directory");
    for (name, build) in seeds {
        let mut tape = Tape::with_connection();
        build(tape.listen(8080));
        std::fs::write(directory.join(name), &tape.bytes).expect("a file");
    }
}

const CHUNKED_POST: &str =
    "POST /users/7 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: t\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n";
