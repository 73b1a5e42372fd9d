//! HTTP/1 in all that it allows: each exchange is a row with the truth about it.

use std::fmt::Write;

use beyla_tests::both::both_ways;
use beyla_tests::client::{Client, get, post};
use beyla_tests::odd::{answer, header_length, playing};
use beyla_tests::report::Report;
use beyla_tests::rows::{complete, unanswered};
use beyla_tests::run::{LATENCY_LAB, Run};

/// Plays the steps against a client on one connection; the rows must be those.
fn exchange(steps: &[&str], client: impl Fn(&mut Client), expected: &[String]) {
    exchange_and(steps, client, expected, |report| assert!(report.unseen.is_empty(), "{:?}", report.unseen));
}

fn exchange_and(steps: &[&str], client: impl Fn(&mut Client), expected: &[String], check: impl Fn(&Report)) {
    both_ways(|capture| {
        let run = playing(capture, steps);
        let mut connection = run.connect();
        client(&mut connection);
        drop(connection);
        let report = run.stop();
        assert_eq!(report.rows(), expected);
        check(&report);
        report
    });
}

fn send(response: &str) -> String {
    format!("send:{response}")
}

#[test]
fn keep_alive() {
    let response = answer("hello");
    let request = get("/a");
    let row = complete("GET /a", (request.len(), 0), 200, (header_length(&response), 5));
    let requests = |client: &mut Client| {
        for _ in 0..5 {
            assert_eq!(client.get("/a").body, b"hello");
        }
    };
    exchange(&["head", &send(&response), "repeat"], requests, &vec![row; 5]);
}

#[test]
fn pipelining() {
    let response = answer("hello");
    let requests = [get("/1"), post_text("/2", "body"), get("/3")];
    let header = header_length(&response);
    let expected = [
        complete("GET /1", (requests[0].len(), 0), 200, (header, 5)),
        complete("POST /2", (header_length(&requests[1]), 4), 200, (header, 5)),
        complete("GET /3", (requests[2].len(), 0), 200, (header, 5)),
    ];
    let send = send(&response);
    exchange(
        &["head", &send, "head", "body:4", &send, "head", &send],
        |client| {
            client.send(requests.concat());
            for _ in 0..3 {
                assert_eq!(client.response().body, b"hello");
            }
        },
        &expected,
    );
}

fn post_text(target: &str, body: &str) -> String {
    String::from_utf8(post(target, body.as_bytes())).expect("text")
}

#[test]
fn pipelined_requests_whose_answers_come_in_one_call() {
    let response = answer("hello");
    let request = get("/a");
    let row = complete("GET /a", (request.len(), 0), 200, (header_length(&response), 5));
    exchange(
        &["head", "head", "head", &send(&response.repeat(3))],
        |client| {
            client.send(request.repeat(3));
            for _ in 0..3 {
                assert_eq!(client.response().body, b"hello");
            }
        },
        &vec![row; 3],
    );
}

#[test]
fn a_request_that_is_torn_at_every_byte() {
    let response = answer("hello");
    let request = post_text("/torn?a=1", "0123456789");
    let row = complete("POST /torn", (header_length(&request), 10), 200, (header_length(&response), 5));
    exchange(
        &["head", "body:10", &format!("trickle:{response}"), "repeat"],
        |client| {
            for _ in 0..2 {
                assert_eq!(client.send_in_parts(&request, 1).response().body, b"hello");
            }
        },
        &vec![row; 2],
    );
}

const CHUNKED_HEADER: &str = "POST /up HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_chunked_upload_that_is_torn_at_every_byte() {
    let response = answer("");
    let row = complete("POST /up", (CHUNKED_HEADER.len(), 15), 200, (header_length(&response), 0));
    let request = format!("{CHUNKED_HEADER}5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n");
    exchange(
        &["head", "until:\r\n0\r\n\r\n", &send(&response), "repeat"],
        |client| {
            assert_eq!(client.send_in_parts(&request, 1).response().status, 200);
            assert_eq!(client.send(&request).response().status, 200);
        },
        &vec![row; 2],
    );
}

#[test]
fn trailers_in_both_directions_are_no_body() {
    let header = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: sum\r\n\r\n";
    let chunks = "3\r\nabc\r\n0\r\nsum: 7\r\nother: 8\r\n\r\n";
    let row = complete("POST /up", (CHUNKED_HEADER.len(), 3), 200, (header.len(), 3));
    exchange(
        &["head", "until:other: 8\r\n\r\n", &format!("send:{header}{chunks}"), "repeat"],
        |client| {
            for _ in 0..2 {
                assert_eq!(client.send(CHUNKED_HEADER).send(chunks).response().body, b"abc");
            }
        },
        &vec![row; 2],
    );
}

#[test]
fn answers_without_a_body_whatever_their_header_says() {
    let head = "HEAD /a HTTP/1.1\r\nhost: test\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    let not_modified = "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n";
    let request = get("/a");
    let expected = [
        complete("HEAD /a", (head.len(), 0), 200, (length.len(), 0)),
        complete("GET /a", (request.len(), 0), 204, (no_content.len(), 0)),
        complete("GET /a", (request.len(), 0), 304, (not_modified.len(), 0)),
        complete("GET /a", (request.len(), 0), 200, (header_length(answer("end")), 3)),
    ];
    let steps: Vec<String> = [length, no_content, not_modified, &answer("end")]
        .into_iter()
        .flat_map(|response| ["head".to_owned(), send(response)])
        .collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    exchange(
        &steps,
        |client| {
            for request in [head, &request, &request] {
                client.send(request).until("\r\n\r\n");
            }
            assert_eq!(client.get("/a").body, b"end");
        },
        &expected,
    );
}

#[test]
fn an_interim_response_is_not_the_response() {
    let header = "PUT /up HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let response = answer("done");
    let expected = [complete("PUT /up", (header.len(), 5), 200, (header_length(&response), 4))];
    exchange(
        &[
            "head",
            "send:HTTP/1.1 100 Continue\r\n\r\n",
            "body:5",
            "send:HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            &send(&response),
        ],
        |client| {
            assert!(client.send(header).until("\r\n\r\n").contains("100"));
            assert!(client.send("hello").until("\r\n\r\n").contains("103"));
            assert_eq!(client.response().body, b"done");
        },
        &expected,
    );
}

#[test]
fn a_client_that_was_told_to_continue_and_need_not() {
    let header = "PUT /up HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let refusal = "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let expected = [complete("PUT /up", (header.len(), 0), 417, (refusal.len(), 0))];
    exchange(
        &["head", &send(refusal)],
        |client| {
            client.send(header);
            assert!(String::from_utf8(client.rest()).unwrap().contains("417"));
        },
        &expected,
    );
}

#[test]
fn an_upgrade_ends_the_request_and_what_follows_is_not_read() {
    let request = "GET /ws HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let response = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let expected = [complete("GET /ws", (request.len(), 0), 101, (response.len(), 0))];
    // What looks like a request and is none.
    let message = "GET /inside HTTP/1.1\r\n\r\n";
    exchange_and(
        &["head", &send(response), "head", &send(&answer("inside"))],
        |client| {
            client.send(request).until("\r\n\r\n");
            client.send(message).response();
        },
        &expected,
        |report| assert_eq!(report.unseen("upgraded_connections"), 1),
    );
}

#[test]
fn a_tunnel_is_an_upgrade() {
    let request = "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\n\r\n";
    let expected = [complete("CONNECT example.com:443", (request.len(), 0), 200, (response.len(), 0))];
    exchange_and(
        &["head", &send(response), "body:5", "send:world"],
        |client| {
            client.send(request).until("\r\n\r\n");
            assert_eq!(client.send("hello").exactly(5), b"world");
        },
        &expected,
        |report| assert_eq!(report.unseen("upgraded_connections"), 1),
    );
}

#[test]
fn methods_and_targets_of_all_forms() {
    let response = answer("ok");
    let header = header_length(&response);
    let forms = [
        ("BREW /pot HTTP/1.1", "BREW /pot"),
        ("M-SEARCH /x HTTP/1.1", "M-SEARCH /x"),
        ("OPTIONS * HTTP/1.1", "OPTIONS *"),
        ("GET http://example.com/a/b?c=d HTTP/1.1", "GET /a/b"),
        ("GET /%7Euser/%2F?q HTTP/1.1", "GET /%7Euser/%2F"),
        ("GET /? HTTP/1.1", "GET /"),
        ("DELETE /a HTTP/1.1", "DELETE /a"),
    ];
    let requests = forms.map(|(line, _)| format!("{line}\r\nhost: test\r\n\r\n"));
    let expected: Vec<String> = forms
        .iter()
        .zip(&requests)
        .map(|((_, start), request)| complete(start, (request.len(), 0), 200, (header, 2)))
        .collect();
    exchange(
        &["head", &send(&response), "repeat"],
        |client| {
            for request in &requests {
                assert_eq!(client.send(request).response().body, b"ok");
            }
        },
        &expected,
    );
}

#[test]
fn http_1_0_and_a_body_that_ends_with_the_connection() {
    let request = "GET /old HTTP/1.0\r\n\r\n";
    let response = "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n";
    let expected = [complete("GET /old", (request.len(), 0), 200, (response.len(), 70_000))];
    exchange_and(
        &["head", &send(response), "fill:70000"],
        |client| assert_eq!(client.send(request).rest().len(), response.len() + 70_000),
        &expected,
        |report| assert_eq!(report.requests[0].protocol, "http/1.0"),
    );
}

#[test]
fn a_header_of_16_kib_in_many_parts() {
    let mut request = "GET /long HTTP/1.1\r\nhost: test\r\n".to_owned();
    let mut number = 0;
    while request.len() < 16_000 {
        number += 1;
        let _ = write!(request, "x-field-{number}: {}\r\n", "v".repeat(200));
    }
    request += "\r\n";
    let padding = "p".repeat(15_000);
    let response = format!("HTTP/1.1 200 OK\r\nx-padding: {padding}\r\ncontent-length: 2\r\n\r\nok");
    let row = complete("GET /long", (request.len(), 0), 200, (header_length(&response), 2));
    exchange(
        &["head", &format!("trickle:{response}"), "repeat"],
        |client| {
            assert_eq!(client.send_in_parts(&request, 97).response().body, b"ok");
            assert_eq!(client.send(&request).response().body, b"ok");
        },
        &vec![row; 2],
    );
}

#[test]
fn an_empty_line_before_a_request_is_allowed() {
    let response = answer("ok");
    both_ways(|capture| {
        let run = playing(capture, &["head", &send(&response), "until:\r\n\r\n", &send(&response)]);
        let mut client = run.connect();
        client.get("/a");
        client.send("\r\n").get("/b");
        drop(client);
        let report = run.stop();
        let paths: Vec<&str> = report.requests.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths, ["/a", "/b"]);
        report
    });
}

#[test]
fn ten_mebibytes_up_and_down() {
    const SIZE: usize = 10 << 20;
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).start();
        let body: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        let request = post("/echo", &body);
        let mut client = run.connect();
        let echo = client.send(&request).response();
        assert!(echo.body == body, "the echo is another");
        let download = client.get(&format!("/download?bytes={SIZE}"));
        assert_eq!(download.body.len(), SIZE);
        drop(client);
        let report = run.stop();
        assert_eq!(
            report.rows(),
            [
                complete("POST /echo", (header_length(&request), SIZE), 200, (echo.header.len(), SIZE)),
                complete(
                    "GET /download",
                    (get(&format!("/download?bytes={SIZE}")).len(), 0),
                    200,
                    (download.header.len(), SIZE)
                ),
            ]
        );
        report
    });
}

#[test]
fn what_looks_like_tls_is_counted_and_not_read() {
    // The first bytes of a ClientHello.
    let hello = [[0x16, 0x03, 0x01, 0x02, 0x00, 0x01].as_slice(), &[7; 600]].concat();
    exchange_and(
        &["body:606", "send:bye"],
        |client| assert_eq!(client.send(&hello).exactly(3), b"bye"),
        &[],
        |report| assert_eq!(report.unseen("tls_connections"), 1),
    );
}

#[test]
fn what_is_no_http_is_counted_and_not_read() {
    exchange_and(
        &["until:\n", "send:220 hello\r\n", "repeat"],
        |client| {
            for _ in 0..3 {
                client.send("\u{1}EHLO example\n").until("\n");
            }
        },
        &[],
        |report| assert_eq!(report.unseen("unreadable_connections"), 1),
    );
}

#[test]
fn http_2_with_prior_knowledge_is_read() {
    // HEADERS that end stream 1, with a method and a path.
    let request = "\0\0\u{18}\u{1}\u{5}\0\0\0\u{1}\0\u{7}:method\u{3}GET\0\u{5}:path\u{3}/h2";
    exchange_and(
        &["until:/h2"],
        |client| {
            client.send(["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\u{4}\0\0\0\0\0", request].concat());
            // It has been read then.
            assert_eq!(client.rest(), b"");
        },
        &[unanswered("GET /h2", (request.len(), 0), "server closed")],
        |report| {
            let request = &report.requests[0];
            assert_eq!((&*request.protocol, request.stream), ("http/2", Some(1)));
        },
    );
}

#[test]
fn paths_with_ids_are_one_route() {
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).start();
        let mut client = run.connect();
        for id in ["1", "22", "6f9619ff-8b86-4d01-b42d-00c04fc964ff"] {
            client.get(&format!("/users/{id}"));
        }
        drop(client);
        let report = run.stop();
        let mut routes: Vec<(&str, u64)> =
            report.routes.iter().map(|route| (route.route.as_str(), route.count)).collect();
        routes.sort_unstable();
        assert_eq!(routes.iter().map(|(_, count)| count).sum::<u64>(), 3);
        assert!(routes.len() <= 2 && routes.iter().all(|(route, _)| route.starts_with("/users/{")), "{routes:?}");
        report
    });
    both_ways(|capture| {
        let run = Run::of(LATENCY_LAB, capture).flags(["--route", "/users/{name}"]).start();
        let mut client = run.connect();
        for name in ["ann", "ben"] {
            client.get(&format!("/users/{name}"));
        }
        drop(client);
        let report = run.stop();
        let [route] = &report.routes[..] else { panic!("{:?}", report.routes) };
        assert_eq!((route.route.as_str(), route.count), ("/users/{name}", 2));
        report
    });
}
