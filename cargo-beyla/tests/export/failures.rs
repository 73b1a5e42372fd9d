//! Receivers that do not take what they are sent, or not at once.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cargo_beyla::export::outcome::Counts;
use cargo_beyla::export::settings::Protocol;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::grpc_receiver::GrpcReceiver;
use super::http_receiver::{Answer, HttpReceiver};
use super::requests::{PATIENCE, export_traces, lost, request, start, test, traces};
use super::traces::{assert_complete, decode};

pub const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

/// An address at which nobody listens: it is taken by a socket that does not, to the end of the process, so that no
/// listener of another test is given it.
fn nobody() -> String {
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = taken.local_addr().expect("it is bound");
    std::mem::forget(taken);
    format!("http://{address}")
}

/// Who answers this to whatever comes, and closes the connection. Ends with the process.
fn raw(answer: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("a socket"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Who asks may be slow to begin.
            let mut begun = stream.read(&mut [0; 8192]).is_ok_and(|bytes| bytes > 0);
            let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
            while begun {
                begun = stream.read(&mut [0; 8192]).is_ok_and(|bytes| bytes > 0);
            }
            let _ = stream.write_all(answer.as_bytes());
            // What is left unread would have the connection reset, and the answer with it.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.set_read_timeout(Some(PATIENCE));
            while stream.read(&mut [0; 8192]).is_ok_and(|bytes| bytes > 0) {}
        }
    });
    url
}

pub fn take() -> Answer {
    Answer::Take(Vec::new())
}

pub fn taken() -> ExportTraceServiceResponse {
    ExportTraceServiceResponse::default()
}

#[test]
fn nobody_listens() {
    for protocol in BOTH {
        let begun = Instant::now();
        let outcome = export_traces(&traces(&nobody(), protocol), 1000, PATIENCE);
        // The user is not made to wait for it.
        assert!(begun.elapsed() < Duration::from_secs(3), "{protocol:?}: {:?}", begun.elapsed());
        assert_eq!((outcome.sent.requests, outcome.lost["connection refused"].requests), (0, 1000), "{protocol:?}");
        assert!(outcome.sentence().ends_with("1,000 were not sent: connection refused"), "{}", outcome.sentence());
    }
}

#[test]
fn there_is_no_time_at_all() {
    let address = nobody();
    let exporter = start(&traces(&address, Protocol::Grpc));
    for id in 1..=10 {
        exporter.offer(&Arc::new(request(id)), Vec::new());
    }
    let outcome = exporter.finish(Duration::ZERO).traces.expect("there are spans");
    assert_eq!((outcome.sent.requests, lost(&outcome)), (0, 10));
}

#[test]
fn it_is_overloaded_for_a_while() {
    for status in [429, 502, 503, 504] {
        let receiver = HttpReceiver::start(move |n| if n < 2 { Answer::Refuse(status, vec![], "") } else { take() });
        let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 500, PATIENCE);
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_complete(&decode(&receiver), 500);
    }
    let receiver =
        GrpcReceiver::start(|n| if n < 2 { Some(Err(Status::unavailable("busy"))) } else { Some(Ok(taken())) });
    assert!(export_traces(&traces(&receiver.url(), Protocol::Grpc), 500, PATIENCE).is_complete());
    assert_complete(&receiver.taken(), 500);
}

#[test]
fn it_is_overloaded_to_the_end() {
    let receiver = HttpReceiver::start(|n| if n == 0 { take() } else { Answer::Refuse(503, vec![], "too busy") });
    let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 500, Duration::from_millis(400));
    assert_eq!(
        (outcome.sent.requests, &outcome.lost),
        (
            170,
            &[(
                "HTTP status 503 Service Unavailable: too busy".to_owned(),
                Counts { requests: 330, ..Counts::default() }
            )]
            .into()
        )
    );
    assert_complete(&decode(&receiver), 170);
}

#[test]
fn it_asks_for_time() {
    let http = HttpReceiver::start(|n| match n {
        0 => Answer::Refuse(429, vec![("retry-after", "1")], ""),
        _ => take(),
    });
    assert!(export_traces(&traces(&http.url(), Protocol::HttpProtobuf), 10, PATIENCE).is_complete());
    let [first, second] = http.received().try_into().expect("two attempts");
    assert!(second.at - first.at >= Duration::from_secs(1), "{:?}", second.at - first.at);

    let details = || ErrorDetails::with_retry_info(Some(Duration::from_millis(700)));
    let grpc = GrpcReceiver::start(move |n| match n {
        0 => Some(Err(Status::with_error_details(Code::ResourceExhausted, "slowly", details()))),
        _ => Some(Ok(taken())),
    });
    let begun = Instant::now();
    assert!(export_traces(&traces(&grpc.url(), Protocol::Grpc), 10, PATIENCE).is_complete());
    assert!(begun.elapsed() >= Duration::from_millis(700));
    assert_eq!(grpc.attempts().len(), 2);
}

#[test]
fn it_asks_for_more_time_than_there_is() {
    let receiver = HttpReceiver::start(|_| Answer::Refuse(429, vec![("retry-after", "3600")], "slowly"));
    let begun = Instant::now();
    let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 10, PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(outcome.lost["HTTP status 429 Too Many Requests: slowly"].requests, 10);
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn it_does_not_want_them() {
    for status in [400, 401, 404, 413, 500] {
        let receiver = HttpReceiver::start(move |_| Answer::Refuse(status, vec![], "no"));
        let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 500, PATIENCE);
        assert_eq!((outcome.sent.requests, lost(&outcome)), (0, 500));
        // Each of the three messages once.
        assert_eq!(receiver.received().len(), 3, "{status}");
    }
    let receiver = GrpcReceiver::start(|_| Some(Err(Status::unauthenticated("who are you?"))));
    let outcome = export_traces(&traces(&receiver.url(), Protocol::Grpc), 500, PATIENCE);
    assert_eq!(outcome.lost["gRPC status Unauthenticated: who are you?"].requests, 500);
    assert_eq!(receiver.attempts().len(), 3);
}

#[test]
fn one_message_is_refused_and_the_others_are_not() {
    let receiver = HttpReceiver::start(|n| if n == 1 { Answer::Refuse(400, vec![], "") } else { take() });
    let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 500, PATIENCE);
    assert_eq!((outcome.sent.requests, outcome.lost["HTTP status 400 Bad Request"].requests), (330, 170));
    assert_complete(&decode(&receiver), 330);
}

#[test]
fn it_takes_a_part() {
    let partial = ExportTracePartialSuccess { rejected_spans: 7, error_message: "too old".into() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    let body = answer.encode_to_vec();
    let http = HttpReceiver::start(move |_| Answer::Take(body.clone()));
    let grpc = GrpcReceiver::start(move |_| Some(Ok(answer.clone())));
    for (url, protocol) in [(http.url(), Protocol::HttpProtobuf), (grpc.url(), Protocol::Grpc)] {
        let outcome = export_traces(&traces(&url, protocol), 20, PATIENCE);
        assert_eq!((outcome.sent.requests, outcome.rejected_spans, outcome.is_complete()), (20, 7, false));
        let sentence = outcome.sentence();
        assert!(sentence.ends_with("; 7 spans rejected there; it says: too old"), "{sentence}");
    }
    // What was taken in part is not sent again.
    assert_eq!((http.received().len(), grpc.attempts().len()), (1, 1));
}

#[test]
fn what_it_says_steers_no_terminal() {
    let message = format!("\u{1b}]0;gone\u{7}{}", "x".repeat(100_000));
    let partial = ExportTracePartialSuccess { rejected_spans: 0, error_message: message };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    let grpc = GrpcReceiver::start(move |_| Some(Ok(answer.clone())));
    let sentence = export_traces(&traces(&grpc.url(), Protocol::Grpc), 1, PATIENCE).sentence();
    assert!(sentence.contains(r"; it says: \u{1b}]0;gone\u{7}xxx") && sentence.len() < 400, "{sentence}");
    let grpc = GrpcReceiver::start(|_| Some(Err(Status::permission_denied("\u{1b}[2J"))));
    let sentence = export_traces(&traces(&grpc.url(), Protocol::Grpc), 1, PATIENCE).sentence();
    assert!(sentence.ends_with(r"gRPC status PermissionDenied: \u{1b}[2J"), "{sentence}");
}

#[test]
fn what_it_was_given_in_confidence_is_not_repeated() {
    let said = "bad auth: Basic dXNlcjpzZWtyaXQ=";
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: said.into() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    let body = answer.encode_to_vec();
    let http = [
        HttpReceiver::start(move |_| Answer::Refuse(400, vec![], said)),
        HttpReceiver::start(move |_| Answer::Take(body.clone())),
    ];
    let grpc = [
        GrpcReceiver::start(move |_| Some(Err(Status::unauthenticated(said)))),
        GrpcReceiver::start(move |_| Some(Ok(answer.clone()))),
    ];
    let http = http.iter().map(|receiver| (receiver.url(), Protocol::HttpProtobuf));
    let grpc = grpc.iter().map(|receiver| (receiver.url(), Protocol::Grpc));
    for (url, protocol) in http.chain(grpc) {
        let mut settings = traces(&url, protocol);
        let authorization = ("authorization".to_owned(), "Basic dXNlcjpzZWtyaXQ=".to_owned());
        settings.traces.as_mut().expect("there are spans").headers.push(authorization);
        let sentence = export_traces(&settings, 1, PATIENCE).sentence();
        assert!(sentence.ends_with(": bad auth: ********"), "{sentence}");
    }
}

#[test]
fn it_is_no_collector() {
    let receiver = HttpReceiver::start(|_| Answer::Login);
    let url = format!("{}/v1/traces?token=sekrit", receiver.url());
    let mut settings = traces("", Protocol::HttpProtobuf);
    settings.traces.as_mut().expect("there are spans").endpoint = url;
    let outcome = export_traces(&settings, 10, PATIENCE);
    let sentence = outcome.sentence();
    assert!(sentence.ends_with("something that is no OTLP response; is that a collector?"), "{sentence}");
    assert!(!outcome.is_complete());
    assert!(sentence.contains("/v1/traces?token=********;"), "{sentence}");
}

#[test]
fn its_answer_breaks_off() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\n";
    let outcome = export_traces(&traces(&raw(format!("{head}abc")), Protocol::HttpProtobuf), 10, PATIENCE);
    assert_eq!((outcome.sent.requests, outcome.is_complete()), (10, false));
    let sentence = outcome.sentence();
    assert!(sentence.ends_with("/v1/traces; the connection broke during its answer"), "{sentence}");
}

#[test]
fn it_closes_the_connection() {
    let receiver = HttpReceiver::start(|n| if n % 2 == 0 { Answer::Close } else { take() });
    let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 500, PATIENCE);
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_complete(&decode(&receiver), 500);
}

#[test]
fn it_never_answers() {
    let http = HttpReceiver::start(|_| Answer::Hang);
    let grpc = GrpcReceiver::start(|_| None);
    for (url, protocol) in [(http.url(), Protocol::HttpProtobuf), (grpc.url(), Protocol::Grpc)] {
        let begun = Instant::now();
        let outcome = export_traces(&traces(&url, protocol), 500, Duration::from_secs(4));
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        assert_eq!((outcome.sent.requests, outcome.lost["no answer within 1 s"].requests), (0, 500), "{outcome:?}");
        let outcome = export_traces(&traces(&url, protocol), 500, Duration::from_millis(700));
        assert_eq!((outcome.sent.requests, outcome.lost["no answer until the end"].requests), (0, 500), "{outcome:?}");
    }
}

#[test]
fn it_accepts_connections_and_nothing_else() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("a socket"));
    for protocol in BOTH {
        let begun = Instant::now();
        let outcome = export_traces(&traces(&url, protocol), 10, Duration::from_millis(300));
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!((outcome.sent.requests, lost(&outcome)), (0, 10));
    }
}

#[test]
fn it_is_slow() {
    let receiver = HttpReceiver::start(|_| Answer::Slowly(Duration::from_millis(50)));
    assert!(export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 1000, PATIENCE).is_complete());
    assert_complete(&decode(&receiver), 1000);
}

#[test]
fn the_user_does_not_wait_for_it() {
    let hangs = HttpReceiver::start(|n| if n == 0 { take() } else { Answer::Hang });
    let busy = HttpReceiver::start(|n| match n {
        0 => take(),
        _ => Answer::Refuse(503, vec![("retry-after", "5")], ""),
    });
    let without_answer = "interrupted";
    let with_one = "interrupted (HTTP status 503 Service Unavailable)";
    for (receiver, reason) in [(hangs, without_answer), (busy, with_one)] {
        let mut settings = traces(&receiver.url(), Protocol::HttpProtobuf);
        settings.traces.as_mut().expect("there are spans").timeout = PATIENCE;
        let exporter = start(&settings);
        for id in 1..=500 {
            exporter.offer(&Arc::new(request(id)), Vec::new());
        }
        let begun = Instant::now();
        let interrupted = || begun.elapsed() >= Duration::from_millis(700);
        let outcome = exporter.finish_unless(PATIENCE, interrupted).traces.expect("there are spans");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let expected = [(reason.to_owned(), Counts { requests: 330, ..Counts::default() })].into();
        assert_eq!((outcome.sent.requests, &outcome.lost), (170, &expected));
    }
}

#[test]
fn it_cannot_be_trusted() {
    let receiver = GrpcReceiver::start_self_signed();
    for protocol in BOTH {
        let url = format!("https://localhost:{}", receiver.address.port());
        let outcome = export_traces(&traces(&url, protocol), 10, PATIENCE);
        assert_eq!(outcome.sent.requests, 0);
        let sentence = outcome.sentence();
        assert!(sentence.contains(": its certificate is "), "{sentence}");
    }
    assert!(receiver.attempts().is_empty());
}

#[test]
fn it_speaks_grpc_only() {
    let receiver = GrpcReceiver::start(|_| Some(Ok(taken())));
    let begun = Instant::now();
    let outcome = export_traces(&traces(&receiver.url(), Protocol::HttpProtobuf), 10, PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let said = "it does not speak HTTP/1.1; gRPC perhaps?".to_owned();
    assert_eq!(outcome.lost, [(said, Counts { requests: 10, ..Counts::default() })].into());
}

#[test]
fn the_head_of_its_answer_has_no_end() {
    let url = raw(format!("HTTP/1.1 200 OK\r\nx-much: {}", "x".repeat(1 << 20)));
    let begun = Instant::now();
    let outcome = export_traces(&traces(&url, Protocol::HttpProtobuf), 10, PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(outcome.lost["the head of its answer is too large"].requests, 10);
}

#[test]
fn it_speaks_http_1_only() {
    let url = raw("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_owned());
    let sentence = export_traces(&traces(&url, Protocol::Grpc), 10, PATIENCE).sentence();
    assert!(sentence.ends_with("it does not speak gRPC; --otlp-protocol http/protobuf perhaps?"), "{sentence}");
}

#[test]
fn it_does_not_speak_tls() {
    let receiver = HttpReceiver::start(|_| take());
    for protocol in BOTH {
        let url = receiver.url().replace("http:", "https:");
        let outcome = export_traces(&traces(&url, protocol), 10, PATIENCE);
        assert_eq!((outcome.sent.requests, lost(&outcome)), (0, 10), "{outcome:?}");
        let sentence = outcome.sentence();
        assert!(sentence.ends_with("; http:// perhaps?"), "{sentence}");
    }
    assert!(receiver.received().is_empty());
}

#[test]
fn whoever_offers_never_waits_and_memory_is_bounded() {
    let receiver = HttpReceiver::start(|_| Answer::Hang);
    let exporter = start(&traces(&receiver.url(), Protocol::HttpProtobuf));
    let one = Arc::new(request(1));
    let begun = Instant::now();
    for _ in 0..400_000 {
        exporter.offer(&one, Vec::new());
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // In the queue, in the queue behind it, and on the way from one to the other.
    assert!(Arc::strong_count(&one) <= 3 * 65_536 + 1, "{}", Arc::strong_count(&one));
    exporter.lose(cargo_beyla_core::model::call::Dropped { requests: 5, calls: 0 });
    let outcome = exporter.finish(Duration::from_millis(200)).traces.expect("there are spans");
    assert_eq!((outcome.all.requests, outcome.sent.requests), (400_005, 0));
    assert_eq!(lost(&outcome), 400_005);
    assert!(outcome.lost["they came faster than they were taken"].requests >= 5);
}

#[test]
fn tests_are_bounded_and_accounted_for_as_requests_are() {
    let exporter = start(&traces(&nobody(), Protocol::HttpProtobuf));
    let begun = Instant::now();
    for id in 0..100_000 {
        exporter.offer_test(test(id));
    }
    // Nobody waits.
    assert!(begun.elapsed() < Duration::from_secs(5));
    let outcome = exporter.finish(PATIENCE).traces.expect("there are spans");
    assert_eq!(outcome.all, Counts { tests: 100_000, ..Counts::default() });
    assert_eq!(outcome.lost.values().map(|lost| lost.tests).sum::<u64>(), 100_000);
    assert!(outcome.sentence().starts_with("sent the spans of none of 100,000 tests to "), "{}", outcome.sentence());
}
