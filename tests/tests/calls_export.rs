//! Calls as they are exported: spans in their place in a trace, and metrics.

use std::collections::BTreeSet;

use beyla_tests::called::postgres::Postgres;
use beyla_tests::called::prices::Prices;
use beyla_tests::called::redis::Redis;
use beyla_tests::called::service;
use beyla_tests::client::get;
use beyla_tests::prometheus::{Prometheus, Sample, metrics_port, promtool_is_content, scrape};
use beyla_tests::receiver::{Receiver, attribute, hexadecimal};
use beyla_tests::run::{CALLING_SERVER, Capture, Finished, ORDERS, Run, TELLING};
use beyla_tests::wait::{LONG, poll};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// What the service answers that [`CALLING_SERVER`] calls, which reads to the end.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// The trace and the span of a caller, and those of the application itself.
const CALLER: [&str; 2] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
const OWN: [&str; 2] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];

#[test]
fn calls_are_client_spans_under_their_request() {
    let (prices, receiver) = (Prices::start(), Receiver::start());
    // Without a database.
    let run = Run::of(ORDERS, Capture::Auto).environment("DATABASE_URL", "").environment("PRICES_URL", prices.url());
    let run = run.flags(["--otlp", &receiver.url()]).start();
    assert_eq!(run.connect().get("/orders/3").status, 200);
    assert_eq!(run.connect().get("/down").status, 502);
    let report = run.stop();
    report.check();
    let spans = receiver.spans();
    let clients: Vec<_> = spans.iter().filter(|span| span.kind() == SpanKind::Client).collect();
    assert_eq!(clients.len(), report.calls.len(), "{clients:#?}");
    for call in &report.calls {
        let id = call.span_id.as_deref().expect("it is in a trace");
        let span = clients.iter().find(|span| hexadecimal(&span.span_id) == id).unwrap_or_else(|| panic!("{call:#?}"));
        assert_eq!(Some(hexadecimal(&span.trace_id)), call.trace_id);
        assert_eq!(span.name, call.summary);
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (call.start_unix_ns, call.end_unix_ns()));
        let request = report.requests.iter().find(|request| Some(request.id) == call.request).expect("its request");
        assert_eq!((&call.trace_id, &call.parent_span_id), (&request.trace_id, &request.span_id));
        assert_eq!(Some(hexadecimal(&span.parent_span_id)), request.span_id);
        let (address, port) = call.peer.rsplit_once(':').expect("a port");
        assert_eq!(attribute(&span.attributes, "server.address").as_deref(), Some(address));
        assert_eq!(attribute(&span.attributes, "server.port").as_deref(), Some(port));
        if call.kind == "http" {
            let url = format!("{}{}", prices.url(), call.text().strip_prefix("GET ").expect("a GET"));
            assert_eq!(attribute(&span.attributes, "url.full"), Some(url));
            assert_eq!(attribute(&span.attributes, "http.response.status_code"), call.status);
        }
        let error = call.error.then(|| call.status.clone()).flatten();
        assert_eq!(attribute(&span.attributes, "error.type"), error);
    }
}

/// A request that may bring a `traceparent`, and whose handler may send one with its call.
struct Sent {
    path: &'static str,
    brings: Option<String>,
    sends: Option<String>,
}

fn traceparent([trace, span]: [&str; 2], flags: &str) -> String {
    format!("00-{trace}-{span}-{flags}")
}

/// The server spans and the client spans of these requests, one after the other, each on a connection of its own.
fn exported(sent: &[Sent], environment: &[(&str, &str)]) -> [Vec<Span>; 2] {
    let (peer, receiver) = (service(ANSWER), Receiver::start());
    let mut run = Run::of(CALLING_SERVER, Capture::Auto).flags(["--otlp", &receiver.url()]);
    for (name, value) in environment {
        run = run.environment(name, value);
    }
    let run = run.start();
    for Sent { path, brings, sends } in sent {
        let field = |name: &str, value: &Option<String>| {
            value.as_ref().map_or_else(String::new, |value| format!("\r\n{name}: {value}"))
        };
        let fields = field("traceparent", brings) + &field("x-sends-traceparent", sends) + "\r\n";
        let head = get(&format!("{path}?{peer}")).replacen("\r\n", &fields, 1);
        assert_eq!(run.connect().send(head).response().status, 200);
    }
    let report = run.stop();
    report.check();
    assert_eq!((report.requests.len(), report.calls.len()), (sent.len(), sent.len()), "{:#?}", report.calls);
    let mut spans = receiver.spans();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    [SpanKind::Server, SpanKind::Client].map(|kind| spans.iter().filter(|span| span.kind() == kind).cloned().collect())
}

fn place(span: &Span) -> [String; 2] {
    [hexadecimal(&span.trace_id), hexadecimal(&span.parent_span_id)]
}

#[test]
fn a_call_is_in_the_trace_that_the_application_sends_with_it() {
    let sent = [
        // The application knows of no trace.
        Sent { path: "/tcp", brings: None, sends: None },
        // It has spans of its own, in a trace of its own.
        Sent { path: "/tcp", brings: None, sends: Some(traceparent(OWN, "01")) },
        Sent { path: "/spawned", brings: None, sends: Some(traceparent(OWN, "01")) },
        // It goes on with the caller's trace, by a span of its own.
        Sent {
            path: "/tcp",
            brings: Some(traceparent(CALLER, "01")),
            sends: Some(traceparent([CALLER[0], OWN[1]], "01")),
        },
        // It passes on what came, or nothing.
        Sent { path: "/tcp", brings: Some(traceparent(CALLER, "01")), sends: Some(traceparent(CALLER, "01")) },
        Sent { path: "/tcp", brings: Some(traceparent(CALLER, "01")), sends: None },
    ];
    let [servers, clients] = exported(&sent, &[]);
    assert_eq!((servers.len(), clients.len()), (sent.len(), sent.len()), "{clients:#?}");
    let own = OWN.map(str::to_owned);
    let under = |server: &Span| [hexadecimal(&server.trace_id), hexadecimal(&server.span_id)];
    let expected = [
        under(&servers[0]),
        own.clone(),
        own,
        [CALLER[0].to_owned(), OWN[1].to_owned()],
        under(&servers[4]),
        under(&servers[5]),
    ];
    assert_eq!(clients.iter().map(place).collect::<Vec<_>>(), expected);
    for server in &servers[3..] {
        assert_eq!(place(server), CALLER.map(str::to_owned));
    }
    let ids: BTreeSet<_> = servers.iter().chain(&clients).map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), 2 * sent.len(), "no span has the id of another");
}

#[test]
fn a_call_has_a_span_if_its_trace_is_sampled() {
    let sent = [
        // Nobody wants to have the caller's trace.
        Sent { path: "/tcp", brings: Some(traceparent(CALLER, "00")), sends: None },
        Sent { path: "/tcp", brings: Some(traceparent(CALLER, "00")), sends: Some(traceparent(CALLER, "00")) },
        // The application does not want its own.
        Sent { path: "/tcp", brings: None, sends: Some(traceparent(OWN, "00")) },
        Sent { path: "/tcp", brings: Some(traceparent(CALLER, "01")), sends: Some(traceparent(CALLER, "01")) },
    ];
    let [servers, clients] = exported(&sent, &[]);
    assert_eq!((servers.len(), clients.len()), (2, 1), "{servers:#?} {clients:#?}");
    assert_eq!(clients[0].parent_span_id, servers[1].span_id);
    let sent = [Sent { path: "/tcp", brings: None, sends: None }];
    let none = exported(&sent, &[("OTEL_TRACES_SAMPLER", "always_off")]);
    assert_eq!(none, [Vec::new(), Vec::new()]);
}

/// A metric of calls: its name, the kinds of call that it counts, and the attributes that it may have beside those of
/// all.
type Counted = (&'static str, &'static [&'static str], &'static [&'static str]);

const OF_HTTP: Counted =
    ("http_client_request_duration_seconds", &["http"], &["http_request_method", "http_response_status_code"]);
const OF_GRPC: Counted =
    ("rpc_client_call_duration_seconds", &["grpc"], &["rpc_system_name", "rpc_method", "rpc_response_status_code"]);
const OF_DATABASES: Counted = (
    "db_client_operation_duration_seconds",
    &["postgresql", "redis"],
    &["db_system_name", "db_operation_name", "db_query_summary", "db_response_status_code"],
);
const OF_ALL: [&str; 6] = ["__name__", "error_type", "instance", "job", "server_address", "server_port"];

/// One request, and what Prometheus then knows of its calls, which is what the report has.
fn scraped(run: Run, target: &str, metrics: &[Counted]) -> (Finished, Vec<Sample>) {
    let run = run.flags(["--prometheus", "127.0.0.1:0"]).start();
    assert_eq!(run.connect().get(target).status, 200);
    let port = metrics_port(&run);
    let prometheus = Prometheus::start(port);
    let scraped = poll(LONG, || {
        let samples: Vec<_> = metrics.iter().map(|(name, ..)| prometheus.query(&format!("{name}_count"))).collect();
        samples.iter().all(|samples| !samples.is_empty()).then_some(samples)
    });
    let scraped = scraped.unwrap_or_else(|| panic!("{}", prometheus.log()));
    promtool_is_content(&scrape(port, "text/plain"));
    let finished = run.let_go();
    let report = finished.report();
    report.check();
    for ((name, kinds, attributes), samples) in metrics.iter().zip(&scraped) {
        let calls = report.calls.iter().filter(|call| kinds.contains(&call.kind.as_str()));
        let (failed, others): (Vec<_>, Vec<_>) = calls.partition(|call| call.error);
        for (calls, are_errors) in [(failed, true), (others, false)] {
            let counted = samples.iter().filter(|sample| sample.label("error_type").is_empty() != are_errors);
            assert_eq!(counted.map(|sample| sample.value as usize).sum::<usize>(), calls.len(), "{name}: {samples:#?}");
        }
        for sample in samples {
            let mut names = sample.labels.keys().map(String::as_str);
            assert!(names.all(|label| attributes.contains(&label) || OF_ALL.contains(&label)), "{name}: {sample:#?}");
            assert_eq!(sample.label("server_address"), "127.0.0.1", "{name}: {sample:#?}");
        }
    }
    (finished, scraped.concat())
}

#[test]
fn calls_are_counted_under_the_names_of_the_conventions() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let peer = service("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let run = Run::of(TELLING, Capture::Auto)
        .environment("DATABASE_URL", postgres.url())
        .environment("REDIS_URL", redis.url())
        .environment("SERVICE", peer.to_string());
    let (_, samples) = scraped(run, "/", &[OF_HTTP, OF_DATABASES]);
    let value = |wanted: &[(&str, &str)]| {
        let is_it = |sample: &&Sample| wanted.iter().all(|(name, value)| sample.label(name) == *value);
        samples.iter().filter(is_it).map(|sample| sample.value as u64).sum::<u64>()
    };
    assert_eq!(value(&[("http_request_method", "POST"), ("http_response_status_code", "200")]), 1, "{samples:#?}");
    let failed = [("db_system_name", "postgresql"), ("db_response_status_code", "22P02"), ("error_type", "22P02")];
    assert_eq!(value(&failed), 2, "{samples:#?}");
    assert_eq!(value(&[("db_query_summary", "COPY secrets")]), 1, "{samples:#?}");
    assert_eq!(value(&[("db_operation_name", "HSET"), ("db_system_name", "redis")]), 1, "{samples:#?}");
}

#[test]
fn a_call_of_grpc_is_counted_and_its_metadata_is_nowhere() {
    let (collector, receiver) = (Receiver::start_grpc(), Receiver::start());
    let run = Run::of(CALLING_SERVER, Capture::Auto).flags(["--otlp", &receiver.url()]);
    let (finished, samples) = scraped(run, &format!("/grpc?{}", collector.address), &[OF_GRPC]);
    let [sample] = &samples[..] else { panic!("{samples:#?}") };
    let method = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!((sample.label("rpc_method"), sample.label("rpc_response_status_code")), (method, "OK"));
    let spans = receiver.spans();
    let span = spans.iter().find(|span| span.kind() == SpanKind::Client).expect("a call");
    assert_eq!((span.name.as_str(), attribute(&span.attributes, "rpc.method").as_deref()), (method, Some(method)));
    let json = finished.json.expect("a report");
    for said in [format!("{spans:?}"), json, finished.stderr] {
        assert!(!said.contains("hunter2"), "{said}");
    }
}
