//! HTTP/2 as real clients and servers speak it, and as a client of our own writes it byte by byte.

use std::process::Command;
use std::time::{Duration, Instant};

use beyla_tests::background::Background;
use beyla_tests::both::{both_ways, each_way};
use beyla_tests::client::Client;
use beyla_tests::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, ONLY, OPENING, PADDED, PRIORITY, RST_STREAM,
    SETTINGS, awaiting, block, frame, read, read_response, request, response, sending,
};
use beyla_tests::odd::playing;
use beyla_tests::report::{Report, Request};
use beyla_tests::rows::{broken_off, complete, unanswered};
use beyla_tests::run::{ACTIX_LAB, HTTP2_SERVER, Run, Running};

/// The row of a request of [`request`], answered by [`response`].
fn row(start: &str, request_body: usize, status: u16, response_body: usize) -> String {
    complete(start, (request_length(start), request_body), status, (response_length(), response_body))
}

/// The length of the HEADERS that begin so.
fn request_length(start: &str) -> usize {
    let (method, path) = start.split_once(' ').expect("a method and a path");
    request(ONLY, 1, method, path).len()
}

fn response_length() -> usize {
    response(ONLY, 1, "200").len()
}

/// Runs a command with the server's address at its end, and returns what it prints.
fn client(run: &Running, command: &[&str], paths: &[&str]) -> String {
    let urls = paths.iter().map(|path| format!("http://127.0.0.1:{}{path}", run.port));
    let output = Command::new(command[0]).args(&command[1..]).args(urls).env_remove("http_proxy").output();
    let output = output.unwrap_or_else(|error| panic!("{} is not installed: {error}", command[0]));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What h2load counted: `status codes: 900 2xx, 0 3xx, 300 4xx, 300 5xx`.
fn status_classes(told: &str) -> Vec<usize> {
    let line = told.lines().find_map(|line| line.strip_prefix("status codes: "));
    let counts = line.unwrap_or_else(|| panic!("no status codes in:\n{told}")).split(", ");
    counts.map(|count| count.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")).collect()
}

fn nothing_unseen(report: &Report) {
    assert!(report.unseen.is_empty(), "{:?}", report.unseen);
}

#[test]
fn h2load_counts_the_same() {
    const REQUESTS: usize = 2000;
    each_way(|capture| {
        let run = Run::of(HTTP2_SERVER, capture).start();
        let load = ["h2load", "-n", &REQUESTS.to_string(), "-c", "4", "-m", "32"];
        let told = client(&run, &load, &["/fast", "/status?404", "/status?503", "/bytes?1000"]);
        assert!(told.contains(&format!("{REQUESTS} done, ")) && told.contains(" 0 errored, 0 timeout"), "{told}");
        let report = run.stop();
        assert_eq!(report.requests.len(), REQUESTS);
        let of_class = |class: u16| {
            let is_it = |request: &&Request| request.status.is_some_and(|status| status / 100 == class);
            report.requests.iter().filter(is_it).count()
        };
        assert_eq!(status_classes(&told), [2, 3, 4, 5].map(of_class), "{told}");
        assert_eq!(report.totals.connections, 4);
        assert!(report.requests.iter().all(|request| request.protocol == "http/2" && request.outcome == "complete"));
        for (path, query, body) in [("/fast", None, 4), ("/bytes", Some("1000"), 1000)] {
            let mut rows = report.requests.iter().filter(|request| request.path == path);
            assert!(rows.all(|row| row.query.as_deref() == query && row.response_bytes.unwrap().body == Some(body)));
        }
        nothing_unseen(&report);
        report
    });
}

#[test]
fn actix_web_without_tls() {
    const REQUESTS: usize = 400;
    each_way(|capture| {
        let run = Run::of(ACTIX_LAB, capture).start();
        let load = ["h2load", "-n", &REQUESTS.to_string(), "-c", "4", "-m", "8"];
        let told = client(&run, &load, &["/fast", "/sleep?ms=2", "/nothing"]);
        assert!(told.contains(&format!("{REQUESTS} done, ")) && told.contains(" 0 errored, 0 timeout"), "{told}");
        // It looks at the first bytes of a connection to tell the two protocols apart.
        assert_eq!(client(&run, &["curl", "-sS", "--http1.1"], &["/fast"]), "fast\n");
        let report = run.stop();
        let of_protocol = |protocol: &str| report.requests.iter().filter(|row| row.protocol == protocol).count();
        assert_eq!((of_protocol("http/2"), of_protocol("http/1.1")), (REQUESTS, 1));
        let of_class = |class: u16| {
            let is_it =
                |row: &&Request| row.protocol == "http/2" && row.status.is_some_and(|status| status / 100 == class);
            report.requests.iter().filter(is_it).count()
        };
        assert_eq!(status_classes(&told), [2, 3, 4, 5].map(of_class), "{told}");
        for (path, body) in [("/fast", "fast\n"), ("/sleep", "slept\n")] {
            let mut rows = report.requests.iter().filter(|row| row.path == path);
            assert!(rows.all(|row| row.response_bytes.unwrap().body == Some(body.len() as u64)), "{path}");
        }
        let mut slept = report.requests.iter().filter(|row| row.path == "/sleep");
        assert!(slept.all(|row| row.phases.handle.is_some_and(|time_ns| time_ns >= 2_000_000)));
        assert_eq!(report.totals.connections, 5);
        nothing_unseen(&report);
        report
    });
}

#[test]
fn curl_with_prior_knowledge() {
    both_ways(|capture| {
        let run = Run::of(HTTP2_SERVER, capture).start();
        let data = "d".repeat(10_000);
        let curl = ["curl", "-sS", "--http2-prior-knowledge"];
        let echo = client(&run, &[&curl[..], &["--data-binary", &data]].concat(), &["/echo"]);
        assert_eq!(echo, data);
        for (path, length) in [("/fast", 4), ("/trailers", 4), ("/bytes?9000", 9000)] {
            assert_eq!(client(&run, &curl, &[path]).len(), length);
        }
        let report = run.stop();
        let rows: Vec<_> = report
            .requests
            .iter()
            .map(|row| {
                let body = row.response_bytes.and_then(|bytes| bytes.body);
                (row.method.as_str(), row.path.as_str(), row.status, row.request_bytes.body, body)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("POST", "/echo", Some(200), Some(10_000), Some(10_000)),
                ("GET", "/fast", Some(200), Some(0), Some(4)),
                ("GET", "/trailers", Some(200), Some(0), Some(4)),
                ("GET", "/bytes", Some(200), Some(0), Some(9000)),
            ]
        );
        assert_eq!(report.totals.connections, 4);
        nothing_unseen(&report);
        report
    });
}

#[test]
fn curl_upgrades_from_http_1() {
    const SWITCH: &str = "send:HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n";
    both_ways(|capture| {
        let answer = [frame(SETTINGS, 0, 0, ""), response(END_HEADERS, 1, "200"), frame(DATA, END_STREAM, 1, "hello")];
        let run = playing(capture, &["head", SWITCH, &sending(&answer), "await-eof"]);
        assert_eq!(client(&run, &["curl", "-sS", "--http2"], &["/up"]), "hello");
        let report = run.stop();
        let [row] = &report.requests[..] else { panic!("{:?}", report.rows()) };
        assert_eq!((row.path.as_str(), row.status, row.outcome.as_str()), ("/up", Some(200), "complete"));
        assert_eq!(row.response_bytes.map(|bytes| bytes.body), Some(Some(5)));
        nothing_unseen(&report);
        report
    });
}

/// Plays the steps against a client that speaks first, on one connection; the rows must be those.
fn exchange(steps: &[&str], frames: &[Vec<u8>], wait: impl Fn(&mut Client), expected: &[String]) {
    both_ways(|capture| {
        let run = playing(capture, steps);
        let mut connection = run.connect();
        connection.send(OPENING).send(frames.concat());
        wait(&mut connection);
        drop(connection);
        let report = run.stop();
        assert_eq!(report.rows(), expected);
        nothing_unseen(&report);
        report
    });
}

#[test]
fn streams_are_told_apart() {
    let steps = [
        &awaiting(ONLY, 5),
        &sending(&[response(END_HEADERS, 5, "200"), response(END_HEADERS, 1, "404"), frame(DATA, 0, 1, "one")]),
        &sending(&[frame(DATA, END_STREAM, 5, "fifth"), response(ONLY, 3, "204"), frame(DATA, END_STREAM, 1, "more")]),
        "await-eof",
    ];
    let frames = [
        request(END_HEADERS, 1, "POST", "/one"),
        request(END_HEADERS, 3, "PUT", "/three"),
        frame(DATA, 0, 3, "abc"),
        frame(DATA, END_STREAM, 1, "0123456789"),
        frame(DATA, END_STREAM, 3, "de"),
        request(ONLY, 5, "GET", "/five"),
    ];
    let wait = |client: &mut Client| assert_eq!(read_response(client, 1), b"onemore");
    let rows = [row("POST /one", 10, 404, 7), row("PUT /three", 5, 204, 0), row("GET /five", 0, 200, 5)];
    exchange(&steps, &frames, wait, &rows);
}

#[test]
fn interim_responses_and_trailers_are_no_responses() {
    let trailers = frame(HEADERS, ONLY, 1, block(&[("etag", "7")]));
    let answer = [
        response(END_HEADERS, 1, "100"),
        response(END_HEADERS, 1, "103"),
        response(END_HEADERS, 1, "200"),
        frame(DATA, 0, 1, "body"),
        trailers.clone(),
    ];
    let steps = [&awaiting(END_HEADERS, 1), &sending(&answer), "await-eof"];
    let frames = [request(END_HEADERS, 1, "POST", "/up"), frame(DATA, 0, 1, "ab"), trailers];
    let wait = |client: &mut Client| {
        let kinds: Vec<u8> = (0..5).map(|_| read(client).kind).collect();
        assert_eq!(kinds, [HEADERS, HEADERS, HEADERS, DATA, HEADERS]);
    };
    exchange(&steps, &frames, wait, &[row("POST /up", 2, 200, 4)]);
}

#[test]
fn either_end_breaks_a_stream_off() {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let steps = [
        &awaiting(ONLY, 5),
        &sending(&[response(END_HEADERS, 1, "200"), frame(DATA, 0, 1, "part"), frame(RST_STREAM, 0, 1, CANCEL)]),
        &sending(&[response(END_HEADERS, 3, "200"), frame(DATA, 0, 3, "some")]),
        // The client's RST_STREAM of stream 3.
        "until-hex:000004030000000003",
        &sending(&[response(ONLY, 5, "200")]),
        "await-eof",
    ];
    let frames = [request(ONLY, 1, "GET", "/one"), request(ONLY, 3, "GET", "/three"), request(ONLY, 5, "GET", "/five")];
    let wait = |client: &mut Client| {
        let some = Frame { kind: DATA, flags: 0, stream: 3, payload: b"some".to_vec() };
        while read(client) != some {}
        client.send(frame(RST_STREAM, 0, 3, CANCEL));
        read_response(client, 5);
    };
    let part =
        |start: &str, outcome| broken_off(start, (request_length(start), 0), outcome, 200, (response_length(), 4));
    exchange(
        &steps,
        &frames,
        wait,
        &[part("GET /one", "server closed"), part("GET /three", "client closed"), row("GET /five", 0, 200, 0)],
    );
}

#[test]
fn a_server_goes_away() {
    // The last stream that it takes is 1; no error.
    let last = [0_u8, 0, 0, 1, 0, 0, 0, 0];
    let steps = [
        &*awaiting(ONLY, 3),
        &sending(&[frame(GOAWAY, 0, 0, last), response(END_HEADERS, 1, "200"), frame(DATA, END_STREAM, 1, "bye")]),
    ];
    let frames = [request(ONLY, 1, "GET", "/taken"), request(ONLY, 3, "GET", "/refused")];
    let wait = |client: &mut Client| {
        client.rest();
    };
    let refused = unanswered("GET /refused", (request_length("GET /refused"), 0), "server closed");
    exchange(&steps, &frames, wait, &[row("GET /taken", 0, 200, 3), refused]);
}

/// A run of the server on hyper, with a client of our own.
fn with_hyper(client: impl Fn(&mut Client), check: impl Fn(&Report)) {
    both_ways(|capture| {
        let run = Run::of(HTTP2_SERVER, capture).start();
        let mut connection = run.connect();
        connection.send(OPENING);
        client(&mut connection);
        drop(connection);
        let report = run.stop();
        check(&report);
        report
    });
}

#[test]
fn frames_of_every_odd_form() {
    let fields = |path| block(&[(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")]);
    let client = |client: &mut Client| {
        // Padding before and behind the fields, and a priority.
        let padded = [&[9, 0, 0, 0, 0, 16][..], &fields("/echo"), &[0; 9]].concat();
        client.send(frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, padded));
        client.send(frame(DATA, PADDED, 1, [&[200][..], b"padded", &[0; 200]].concat()));
        client.send(frame(DATA, PADDED | END_STREAM, 1, b"\0"));
        assert_eq!(read_response(client, 1), b"padded");
        // A header block in four parts, one of them empty, each sent by itself.
        let block = fields("/fast");
        client.send(frame(HEADERS, END_STREAM, 3, &block[..1]));
        client.send(frame(CONTINUATION, 0, 3, &block[1..20]));
        client.send(frame(CONTINUATION, 0, 3, ""));
        client.send_in_parts(frame(CONTINUATION, END_HEADERS, 3, &block[20..]), 1);
        assert_eq!(read_response(client, 3), b"fast");
        // A field that goes into the table, and one that comes out of it.
        let indexed = [&[0x83, 0x86, 0x44, 11][..], b"/status?204", &[0x41, 4], b"test"].concat();
        client.send(frame(HEADERS, ONLY, 5, indexed));
        read_response(client, 5);
        client.send(frame(HEADERS, ONLY, 7, [0x83_u8, 0x86, 0xbf, 0xbe]));
        read_response(client, 7);
        // The table shrinks to nothing and grows again, which empties it.
        let shrunk = [&[0x20, 0x3f, 0xe1, 0x1f, 0x83, 0x86, 0x44, 5][..], b"/last"].concat();
        client.send(frame(HEADERS, ONLY, 9, shrunk));
        read_response(client, 9);
        // A frame of a type that nobody knows.
        client.send(frame(0xfa, 0xff, 0, "what?"));
        client.send(request(ONLY, 11, "GET", "/fast"));
        read_response(client, 11);
    };
    with_hyper(client, |report| {
        let rows: Vec<String> = report
            .requests
            .iter()
            .map(|row| {
                let target = row.query.as_ref().map_or(row.path.clone(), |query| format!("{}?{query}", row.path));
                let body = row.request_bytes.body.expect("it is known");
                format!("{} {target} {} {body}", row.method, row.status.expect("there is one"))
            })
            .collect();
        assert_eq!(
            rows,
            [
                "POST /echo 200 6",
                "POST /fast 200 0",
                "POST /status?204 204 0",
                "POST /status?204 204 0",
                "POST /last 200 0",
                "GET /fast 200 0",
            ]
        );
        nothing_unseen(report);
    });
}

#[test]
fn a_tunnel_ends_its_request() {
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/tunnel"),
        (":authority", "test"),
    ];
    let client = |client: &mut Client| {
        client.send(frame(HEADERS, END_HEADERS, 1, block(&connect)));
        while read(client).stream != 1 {}
        client.send(frame(DATA, 0, 1, "what goes through it"));
        client.send(request(ONLY, 3, "GET", "/fast"));
        assert_eq!(read_response(client, 3), b"fast");
    };
    with_hyper(client, |report| {
        let [tunnel, fast] = &report.requests[..] else { panic!("{:?}", report.rows()) };
        assert_eq!((tunnel.method.as_str(), tunnel.path.as_str()), ("CONNECT", "/tunnel"));
        assert_eq!(
            (tunnel.status, tunnel.outcome.as_str(), tunnel.request_bytes.body),
            (Some(200), "complete", Some(0))
        );
        assert_eq!((fast.path.as_str(), fast.outcome.as_str()), ("/fast", "complete"));
        assert_eq!(report.unseen("upgraded_connections"), 1);
    });
}

/// The server's only thread is blocked by one stream. The other one of the same connection waits in the queue, from the
/// moment when its own frame came.
#[test]
fn a_stream_waits_while_another_one_blocks() {
    const BLOCKED: Duration = Duration::from_millis(200);
    both_ways(|capture| {
        let run = Run::of(HTTP2_SERVER, capture).start();
        let mut client = run.connect();
        client.send(OPENING).send(request(ONLY, 1, "GET", "/fast"));
        read_response(&mut client, 1);
        let blocks = Instant::now();
        client.send(request(ONLY, 3, "GET", "/block?200"));
        std::thread::sleep(Duration::from_millis(30));
        let waits = Instant::now();
        client.send(request(ONLY, 5, "GET", "/fast"));
        let least = BLOCKED.saturating_sub(blocks.elapsed());
        assert_eq!(read_response(&mut client, 5), b"fast");
        let most = waits.elapsed();
        drop(client);
        let report = run.stop();
        let queue = |stream| {
            let row = report.requests.iter().find(|row| row.stream == Some(stream)).expect("a row a stream");
            Duration::from_nanos(row.phases.queue.expect("it was read"))
        };
        assert!(least <= queue(5) && queue(5) <= most, "{least:?} {:?} {most:?}", queue(5));
        assert!(queue(3) < BLOCKED, "{:?}", queue(3));
        report
    });
}

/// What the two ends have agreed on before nobody has seen: fields that refer to it are unknown, and counted.
#[test]
fn attach_in_the_midst_of_a_connection() {
    both_ways(|capture| {
        let server = Background::start(HTTP2_SERVER);
        let mut client = server.connect();
        // `:path: /known` goes into the table.
        let known = [&[0x82, 0x86, 0x44, 6][..], b"/known", &[0, 10], b":authority", &[4], b"test"].concat();
        client.send(OPENING).send(frame(HEADERS, ONLY, 1, &known));
        assert_eq!(read_response(&mut client, 1), b"fast");
        let run = Run::attach(capture).flags(["--pid", &server.pid().to_string()]).start_watching();
        client.send(request(ONLY, 3, "GET", "/literal"));
        read_response(&mut client, 3);
        client.send(frame(HEADERS, ONLY, 5, [0x82_u8, 0x86, 0xbe]));
        read_response(&mut client, 5);
        run.interrupt();
        let finished = run.wait();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        let rows: Vec<_> = report
            .requests
            .iter()
            .map(|row| (row.stream, row.method.as_str(), row.path.as_str(), row.outcome.as_str()))
            .collect();
        assert_eq!(rows, [(Some(3), "GET", "/literal", "complete"), (Some(5), "GET", "-", "complete")]);
        assert!(report.unseen("partial_heads") >= 1, "{:?}", report.unseen);
        assert!(
            finished.stderr.contains(" of HTTP/2 refer to what passed before anybody watched"),
            "{}",
            finished.stderr
        );
        report
    });
}
