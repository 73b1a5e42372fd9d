//! Bytes that are not HTTP/1, or not what was due.

use super::*;

#[test]
fn upgrades_and_tunnels_end_the_reading() {
    let upgrade = "GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let summary = check(
        |events| {
            events.receive(1, upgrade).send(1, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\x02");
            events.receive(1, "\x01").unseen(Up, 1, 10).receive(1, GET).server_closes(1).over(1)
        },
        &["GET /ws 101 complete 0 0"],
    );
    assert_eq!(summary.unseen, (Unseen { upgraded_connections: 1, ..Default::default() }));
    let summary = check(
        |events| events.receive(1, "CONNECT host:443 HTTP/1.1\r\n\r\n").send(1, "HTTP/1.1 200 OK\r\n\r\n\x16\x03"),
        &["CONNECT host:443 200 complete 0 0"],
    );
    assert_eq!(summary.unseen.upgraded_connections, 1);
    let refused = check(
        |events| events.receive(1, [upgrade, "\x01\x02 early\n\n"].concat()).send(1, OK).receive(1, GET).send(1, OK),
        &["GET /ws 200 complete 0 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(refused.unseen, Unseen::default());
}

#[test]
fn what_is_not_http_1_is_counted() {
    for (up, down, unseen) in [
        ("\x16\x03\x01\x02", "", Unseen::default()),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", Unseen::default()),
        ("*1\r\n$4\r\nPING\r\n", "+PONG\r\n", Unseen { unreadable_connections: 1, ..Default::default() }),
        ("", "220 ready\r\n", Unseen { unreadable_connections: 1, ..Default::default() }),
        ("GET /\r\n", "", Unseen { unreadable_connections: 1, ..Default::default() }),
        (
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "",
            Unseen { unreadable_connections: 1, ..Default::default() },
        ),
        ("GET", "", Unseen::default()),
    ] {
        for step in [1, 2, 100] {
            let summary = check(
                |events| {
                    for piece in up.as_bytes().chunks(step) {
                        events.receive(1, piece);
                    }
                    for piece in down.as_bytes().chunks(step) {
                        events.send(1, piece);
                    }
                    events.client_closes(1).over(1)
                },
                &[],
            );
            assert_eq!(summary.unseen, unseen, "{up:?} {step}");
            let handshakes: u64 = summary.tls.failed.iter().map(|(_, count)| count).sum();
            assert_eq!(handshakes, u64::from(up.starts_with('\x16')), "{up:?} {step}");
        }
    }
}

#[test]
fn garbage_behind_a_request_leaves_its_response() {
    let summary = check(
        |events| events.receive(1, [GET, "\x01\x02\n\n"].concat()).send(1, OK).over(1),
        &["GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen.unreadable_connections, 1);
    let summary = check(|events| events.receive(1, GET).send(1, "SMTP\x01").over(1), &["GET /a - not seen 0 -"]);
    assert_eq!(summary.unseen.unreadable_connections, 1);
}

#[test]
fn a_response_to_no_request_is_passed_over() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate";
    check(|events| events.send(1, timeout).server_closes(1).over(1), &[]);
    let summary = check(
        |events| events.receive(1, GET).send(1, OK).send(1, timeout).receive(1, GET).send(1, OK),
        &["GET /a 200 complete 0 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.unseen, Unseen::default());
}

#[test]
fn requests_whose_heads_were_not_captured_are_counted() {
    let long = format!("GET /big HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    // What is seen of one tells enough, once it is answered.
    let summary = check(
        |events| events.receive(1, &long).send(1, OK).receive(1, GET).send(1, OK),
        &["GET /big 200 complete ? 2", "GET /a 200 complete 0 2"],
    );
    assert_eq!(summary.requests[0].request_bytes.header, long.len() as u64);
    assert_eq!(summary.unseen, Unseen::default());
    let summary = check(|events| events.receive(1, &long).client_closes(1).over(1), &[]);
    assert_eq!(summary.unseen, Unseen { unread_requests: 1, ..Default::default() });
    // Sent ahead: those that begin behind what is captured of the call.
    let events = &mut EventBuilder::with_connection();
    events.receive(1, GET.repeat(2_000)).send(1, OK.repeat(2_000));
    let Summary { totals, unseen, .. } = events.summary();
    assert!(totals.requests < 2_000);
    assert_eq!(unseen, Unseen { unread_requests: 1, ..Default::default() });
}
