//! Connections that a proxy passes on, which says so by the PROXY protocol.

use super::*;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 50001 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc0\0\x02\x01\xc3\x51\x01\xbb\x04\0\x04abcd";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn ends(summary: &Summary) -> Vec<(String, Option<String>)> {
    let of = |request: &Request| {
        let connection = &request.connection;
        (connection.client.to_string(), connection.proxy.as_ref().map(ToString::to_string))
    };
    summary.requests.iter().map(|request| of(request)).collect()
}

#[test]
fn the_client_is_the_one_that_the_proxy_names() {
    let socket = || ("127.0.0.1:50000".to_owned(), None);
    let named = || ("192.0.2.7:50001".to_owned(), Some("127.0.0.1:50000".to_owned()));
    for (header, of) in
        [(V1, named()), (V2, named()), (LOCAL, socket()), (b"PROXY UNKNOWN\r\n", socket()), (b"", socket())]
    {
        for step in [1, 2, 5, 13, 50, 1000] {
            let summary = check(
                |tape| {
                    for piece in [header, GET.as_bytes()].concat().chunks(step) {
                        tape.receive(1, piece);
                    }
                    tape.send(1, OK).receive(1, GET).send(1, OK).client_closes(1).over(1)
                },
                &["GET /a 200 complete 0 2"; 2],
            );
            assert_eq!(ends(&summary), [of.clone(), of.clone()], "{header:?} {step}");
            assert_eq!(summary.requests[0].request_bytes.header, GET.len() as u64);
            assert_eq!(summary.unseen, Unseen::default());
        }
    }
}

#[test]
fn a_request_arrives_with_its_own_first_byte() {
    let together =
        check(|tape| tape.receive(1, [V1, GET.as_bytes()].concat()).send(1, OK), &["GET /a 200 complete 0 2"]);
    assert_eq!((together.requests[0].boundaries.arrived, together.requests[0].boundaries.read), (Some(1020), 1030));
    let apart = check(|tape| tape.receive(1, V1).receive(1, GET).send(1, OK), &["GET /a 200 complete 0 2"]);
    assert_eq!((apart.requests[0].boundaries.arrived, apart.requests[0].boundaries.read), (Some(1040), 1050));
    assert_eq!(apart.requests[0].boundaries.connected, Some(1000));
    // What looks like a header at first is no less on time.
    let post = "POST / HTTP/1.1\r\n\r\n";
    let torn =
        check(|tape| tape.receive(1, &post[..1]).receive(1, &post[1..]).send(1, OK), &["POST / 200 complete 0 2"]);
    assert_eq!((torn.requests[0].boundaries.arrived, torn.requests[0].boundaries.read), (Some(1020), 1030));
    check(|tape| tape.receive(1, "\r\n").receive(1, GET).send(1, OK), &["GET /a 200 complete 0 2"]);
}

#[test]
fn what_a_proxy_adds_is_passed_over_even_where_it_is_not_captured() {
    let mut header = V2[..28].to_vec();
    header[14..16].copy_from_slice(&60_012u16.to_be_bytes());
    header.resize(16 + 60_012, b'G');
    for step in [1000, 20_000, 100_000] {
        let summary = check(
            |tape| {
                for piece in header.chunks(step) {
                    tape.receive(1, piece);
                }
                tape.receive(1, GET).send(1, OK)
            },
            &["GET /a 200 complete 0 2"],
        );
        assert_eq!(ends(&summary)[0].0, "192.0.2.7:50001");
    }
}

#[test]
fn what_comes_behind_a_proxy_is_no_less_told() {
    let tls = check(|tape| tape.receive(1, V2).receive(1, "\x16\x03\x01\x02").client_closes(1).over(1), &[]);
    assert_eq!(tls.unseen, Unseen { tls_connections: 1, ..Unseen::default() });
    // A proxy that only looks whether the server is there.
    let probe = check(|tape| tape.receive(1, LOCAL).client_closes(1).over(1), &[]);
    assert_eq!(probe.unseen, Unseen::default());
    let broken = check(|tape| tape.receive(1, "PROXY TCP4 nobody\r\n").client_closes(1).over(1), &[]);
    assert_eq!(broken.unseen, Unseen { unreadable_connections: 1, ..Unseen::default() });
    let half = check(|tape| tape.receive(1, &V2[..14]).client_closes(1).over(1), &[]);
    assert_eq!(half.unseen.unreadable_connections, 1);
}

#[test]
fn a_connection_that_was_met_before_its_first_byte() {
    let mut tape = Tape::new();
    tape.join(1).receive(1, [V1, GET.as_bytes()].concat()).send(1, OK);
    assert_eq!(ends(&tape.summary()), [("192.0.2.7:50001".to_owned(), Some("127.0.0.1:50000".to_owned()))]);
}
