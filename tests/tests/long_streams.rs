//! Streams of HTTP/2 that carry more than is captured of them: their frames are walked all the same, so nothing is missing.

use beyla_tests::both::each_way;
use beyla_tests::calls::{call, reported};
use beyla_tests::client::Client;
use beyla_tests::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, ONLY, OPENING, SETTINGS, WINDOW_UPDATE, frame, read_response, request,
};
use beyla_tests::run::{GRPC_SERVER, HTTP2_SERVER, Run};

#[test]
fn ten_calls_of_a_thousand_messages_each_way() {
    each_way(|capture| {
        let run = Run::of(GRPC_SERVER, capture).start();
        let counted = call(&run, 0, 0, 10, 1000);
        assert_eq!(counted[&("Chat".to_owned(), 0)], [10, 10_000, 10_000]);
        let report = run.stop();
        assert_eq!(reported(&report), counted);
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        let each = |request: &beyla_tests::report::Request| {
            let grpc = request.grpc.as_ref().expect("a call");
            let (sent, received) = (grpc.request_messages, grpc.response_messages);
            (request.outcome.as_str() == "complete", grpc.method.clone(), sent, received)
        };
        for (method, sent, received) in [("Chat", 1000, 1000), ("Download", 1, 1000), ("Upload", 1000, 1)] {
            let expected = (true, method.to_owned(), Some(sent), Some(received));
            assert_eq!(report.requests.iter().map(each).filter(|call| *call == expected).count(), 10, "{method}");
        }
        report
    });
}

/// An upload and a download of a mebibyte each on one connection, with small requests among their frames.
#[test]
fn small_requests_among_long_ones() {
    const SIZE: usize = 1 << 20;
    const PART: usize = 16_000;
    const SMALL: u32 = 40;
    each_way(|capture| {
        let run = Run::of(HTTP2_SERVER, capture).start();
        let mut client: Client = run.connect();
        // SETTINGS_INITIAL_WINDOW_SIZE, and a WINDOW_UPDATE of the connection's: room for all that the server sends.
        client.send(OPENING).send(frame(SETTINGS, 0, 0, [0_u8, 4, 0x7f, 0xff, 0xff, 0xff]));
        client.send(frame(WINDOW_UPDATE, 0, 0, 0x4000_0000_u32.to_be_bytes()));
        client.send(request(ONLY, 1, "GET", &format!("/bytes?{SIZE}")));
        assert_eq!(read_response(&mut client, 1).len(), SIZE);
        // The server's own windows count once its SETTINGS are acknowledged.
        client.send(frame(SETTINGS, ACK, 0, ""));
        client.send(request(END_HEADERS, 3, "POST", "/echo"));
        let body = vec![b'u'; SIZE];
        let mut parts = body.chunks(PART).peekable();
        for number in 0.. {
            let Some(part) = parts.next() else { break };
            let flags = if parts.peek().is_none() { END_STREAM } else { 0 };
            client.send(frame(DATA, flags, 3, part));
            if number < SMALL {
                client.send(request(ONLY, 5 + 2 * number, "GET", "/fast"));
            }
        }
        assert_eq!(read_response(&mut client, 3).len(), SIZE);
        drop(client);
        let report = run.stop();
        assert_eq!(report.requests.len() as u32, 2 + SMALL);
        assert!(report.requests.iter().all(|request| request.status == Some(200) && request.outcome == "complete"));
        let sizes = |path| {
            let long = report.requests.iter().find(|request| request.path == path).expect("a row");
            (long.request_bytes.body, long.response_bytes.and_then(|bytes| bytes.body))
        };
        assert_eq!(sizes("/bytes"), (Some(0), Some(SIZE as u64)));
        assert_eq!(sizes("/echo"), (Some(SIZE as u64), Some(SIZE as u64)));
        assert_eq!(report.of_path("/fast").count() as u32, SMALL);
        assert!(report.unseen.is_empty(), "{:?}", report.unseen);
        report
    });
}
