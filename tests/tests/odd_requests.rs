//! Requests that are not as they should be, or not from whom they seem to be: each that is answered is a row.

use beyla_tests::both::both_ways;
use beyla_tests::client::{Client, get};
use beyla_tests::odd::{answer, header_length, playing};
use beyla_tests::report::Report;
use beyla_tests::rows::{complete, unread};
use beyla_tests::run::{ACTIX_LAB, LATENCY_LAB, Run, Server};

const PUT: &str = "PUT /a HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
const CHUNKED_PUT: &str = "PUT /a HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
const REFUSAL: &str = "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n";

/// Plays the steps against a client on one connection.
fn play(steps: &[&str], client: impl Fn(&mut Client), check: impl Fn(&Report)) {
    both_ways(|capture| {
        let run = playing(capture, steps);
        let mut connection = run.connect();
        client(&mut connection);
        drop(connection);
        let report = run.stop();
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        check(&report);
        report
    });
}

fn rows_are(expected: Vec<String>) -> impl Fn(&Report) {
    move |report| assert_eq!(report.rows(), expected)
}

/// The refused upload, with so many bytes of content, and what follows it.
fn refused(head: &str, body: usize, others: &[&str]) -> Vec<String> {
    let refused = complete("PUT /a", (head.len(), body), 417, (REFUSAL.len(), 0));
    let header = header_length(answer("ok"));
    let other = |path: &&str| complete(&format!("GET {path}"), (get(path).len(), 0), 200, (header, 2));
    [refused].into_iter().chain(others.iter().map(other)).collect()
}

#[test]
fn content_that_is_left_out_after_a_final_answer() {
    let (refusal, ok) = (format!("send:{REFUSAL}"), format!("send:{}", answer("ok")));
    for head in [PUT, CHUNKED_PUT] {
        play(
            &["head", &refusal, "head", &ok, "head", &ok],
            |client| {
                assert_eq!(client.send(head).response().status, 417);
                for path in ["/b", "/c"] {
                    assert_eq!(client.get(path).body, b"ok");
                }
            },
            rows_are(refused(head, 0, &["/b", "/c"])),
        );
    }
    // Both sent ahead.
    play(
        &["head", &refusal, "head", "head", &ok, &ok],
        |client| {
            client.send(PUT).until("\r\n\r\n");
            client.send([get("/b"), get("/c")].concat());
            for _ in 0..2 {
                assert_eq!(client.response().body, b"ok");
            }
        },
        rows_are(refused(PUT, 0, &["/b", "/c"])),
    );
}

#[test]
fn content_that_is_sent_all_the_same() {
    let (refusal, ok) = (format!("send:{REFUSAL}"), format!("send:{}", answer("ok")));
    for (head, content, step) in [(PUT, "hello", "body:5"), (CHUNKED_PUT, "5\r\nhello\r\n0\r\n\r\n", "until:0\r\n\r\n")]
    {
        play(
            &["head", &refusal, step, "head", &ok],
            |client| {
                client.send(head).until("\r\n\r\n");
                // In one call, and byte by byte, with what follows.
                client.send([content, &get("/b")].concat()).response();
            },
            rows_are(refused(head, 5, &["/b"])),
        );
        play(
            &["head", "send:HTTP/1.1 100 Continue\r\n\r\n", &refusal, step, "head", &ok],
            |client| {
                client.send(head).until("\r\n\r\n");
                client.until("\r\n\r\n");
                client.send_in_parts([content, &get("/b")].concat(), 1).response();
            },
            rows_are(refused(head, 5, &["/b"])),
        );
    }
}

/// Version 1, and version 2 with a field behind the addresses.
const HEADERS: [&[u8]; 2] = [
    b"PROXY TCP4 192.0.2.7 192.0.2.1 50001 443\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc0\0\x02\x01\xc3\x51\x01\xbb\x04\0\x04abcd",
];

#[test]
fn a_proxy_says_who_its_client_is() {
    let ok = format!("send:{}", answer("ok"));
    for header in HEADERS {
        for parts in [1, 20, 1000] {
            play(
                &[&format!("body:{}", header.len()), "head", &ok, "head", &ok],
                |client| {
                    client.send_in_parts([header, get("/a").as_bytes()].concat(), parts).response();
                    client.get("/b");
                },
                |report| {
                    assert_eq!(report.rows(), refused(PUT, 0, &["/a", "/b"])[1..]);
                    for request in &report.requests {
                        assert_eq!(request.client, "192.0.2.7:50001");
                        assert!(
                            request.proxy.as_ref().is_some_and(|proxy| proxy.starts_with("127.0.0.1:")),
                            "{request:?}"
                        );
                    }
                },
            );
        }
    }
}

#[test]
fn half_a_head_and_a_broken_one_are_requests_once_they_are_answered() {
    let late = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlate";
    let bad = "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad";
    let half = "GET /half HTTP/1.1\r\nho";
    play(
        &["head", &format!("send:{}", answer("ok")), "until:ho", &format!("send:{late}")],
        |client| {
            client.get("/a");
            client.send(half).response();
        },
        |report| {
            let expected = complete("GET /half", (half.len(), 0), 408, (header_length(late), 4));
            assert_eq!(report.rows()[1..], [expected]);
            assert_eq!((report.totals.requests, report.totals.errors), (2, 0));
            // The server has waited for the rest, and no application was at work.
            assert_eq!(report.requests[1].phases.handle, Some(0));
        },
    );
    for (broken, row) in [("GET /broken HTTP/9.9\r\n\r\n", "GET /broken"), ("\x01\x02\x03\r\n\r\n", "- -")] {
        play(
            &["head", &format!("send:{bad}")],
            |client| assert_eq!(client.send(broken).response().body, b"bad"),
            rows_are(vec![unread(row, broken.len(), 400, (header_length(bad), 3))]),
        );
    }
}

/// What a real server answers to these bytes is a row.
fn answered_by(server: Server, sent: &[u8], status: u16, row: &str, unseen: &[&str]) {
    both_ways(|capture| {
        let run = Run::of(server, capture).start();
        let mut client = run.connect();
        let answer = client.send(sent).rest();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        drop(client);
        let report = run.stop();
        let [request] = &report.requests[..] else { panic!("{:?}", report.rows()) };
        assert_eq!((format!("{} {}", request.method, request.path).as_str(), request.status), (row, Some(status)));
        // It answers as soon as it can tell.
        let header = usize::try_from(request.request_bytes.header).expect("a size");
        assert!(header > 0 && header <= sent.len(), "{header} of {}", sent.len());
        assert_eq!((request.outcome.as_str(), report.totals.requests, report.totals.connections), ("complete", 1, 1));
        assert_eq!(report.unseen.keys().collect::<Vec<_>>(), unseen);
        report
    });
}

#[test]
fn what_hyper_refuses() {
    answered_by(LATENCY_LAB, b"\x01garbage\r\n\r\n", 400, "- -", &[]);
    answered_by(LATENCY_LAB, b"GET /a HTTP/7.7\r\nhost: x\r\n\r\n", 400, "GET /a", &[]);
    let fields = "x-a: b\r\n".repeat(300);
    answered_by(LATENCY_LAB, format!("GET /a HTTP/1.1\r\n{fields}\r\n").as_bytes(), 431, "GET /a", &[]);
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    answered_by(LATENCY_LAB, long.as_bytes(), 414, "GET -", &[]);
}

#[test]
fn what_actix_refuses() {
    answered_by(ACTIX_LAB, b"\x01garbage\r\n\r\n", 400, "- -", &[]);
    // It waits for five seconds.
    answered_by(ACTIX_LAB, b"GET /a HTTP/1.1\r\nhost: x\r\nx-a", 408, "GET /a", &[]);
}
