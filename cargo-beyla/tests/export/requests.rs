//! Requests and tests made by hand, and their way through an exporter.

use std::sync::Arc;
use std::time::Duration;

use cargo_beyla::export::checked::Checked;
use cargo_beyla::export::exporter::Exporter;
use cargo_beyla::export::outcome::{ExportOutcome, TracesOutcome};
use cargo_beyla::export::settings::{Compression, ExportSettings, OtlpExport, Protocol, Resource, TlsFiles};
use cargo_beyla::report::run_info::{RunInfo, Traced};
use cargo_beyla_core::model::boundaries::Boundaries;
use cargo_beyla_core::model::connection::{ConnectionInfo, Endpoint};
use cargo_beyla_core::model::request::{self, MessageBytes, Request};
use cargo_beyla_core::model::test::{EndedTest, TestResult};
use cargo_beyla_core::model::trace_context::{SpanId, TestSpan, TraceContext, TraceId};

/// Long enough for everything that goes well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The `id`th request; it takes 100 µs.
pub fn request(id: u64) -> Request {
    let end = |port: u16| Endpoint::Tcp(([127, 0, 0, 1], port).into());
    let at = id * 1_000_000;
    Request {
        id,
        connection: Arc::new(ConnectionInfo {
            id: 1,
            server: end(8080),
            client: end(50000),
            proxy: None,
            owner: None,
            tls: None,
        }),
        protocol: "http/1.1",
        method: "GET".into(),
        path: format!("/users/{id}").into(),
        query: None,
        route: "/users/{id}".into(),
        status: Some(200),
        outcome: request::Outcome::Complete,
        boundaries: Boundaries {
            connected: None,
            secured: None,
            accepted: None,
            arrived: Some(at),
            read: at + 10_000,
            received: Some(at + 10_000),
            responded: Some(at + 90_000),
            ended: at + 100_000,
        },
        request_bytes: MessageBytes { header: 78, body: Some(0) },
        response_bytes: Some(MessageBytes { header: 90, body: Some(28) }),
        explanation: None,
        stream: None,
        grpc: None,
        trace: Some(Box::new(TraceContext {
            trace_id: TraceId::of(u128::from(id) << 64 | 7),
            span_id: SpanId::of(id),
            caller: None,
            test: None,
        })),
        calls: Vec::new(),
        calls_not_kept: 0,
    }
}

/// The root span of the `id`th test; its trace is anywhere among those that samplers divide.
pub fn test_span(id: u32) -> TestSpan {
    let scattered = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    TestSpan { trace_id: TraceId::of(u128::from(scattered) | 1 << 64), span_id: SpanId::of(u64::from(id) << 40) }
}

/// The `id`th test, which failed.
pub fn test(id: u32) -> EndedTest {
    EndedTest {
        binary: "shop::api".into(),
        name: format!("test_{id}").into(),
        round: 0,
        result: Some(TestResult::Failed(101)),
        reason: None,
        started_ns: 0,
        ended_ns: 1_000_000_000,
        span: test_span(id),
    }
}

/// This process, as if it were a server.
pub fn run() -> RunInfo {
    RunInfo {
        version: "0.1.0".into(),
        traced: Traced::Server {
            pid: std::process::id(),
            executable: "/work/target/debug/server".into(),
            within: Vec::new(),
        },
        started_unix_ns: 1_700_000_000_000_000_000,
        started_monotonic_ns: 0,
        capture: "socket".into(),
        architecture: None,
        trace_seed: None,
    }
}

/// An endpoint that has a second for each attempt, and is reached without more ado.
pub fn otlp(endpoint: String, protocol: Protocol) -> OtlpExport {
    OtlpExport {
        endpoint,
        protocol,
        headers: Vec::new(),
        timeout: Duration::from_secs(1),
        compression: Compression::None,
        tls: TlsFiles::default(),
        proxy: None,
    }
}

/// Spans to an endpoint that has a second for each attempt.
pub fn traces(endpoint: &str, protocol: Protocol) -> ExportSettings {
    let endpoint = match protocol {
        Protocol::Grpc => endpoint.to_owned(),
        Protocol::HttpProtobuf => format!("{endpoint}/v1/traces"),
    };
    let headers = vec![("x-tenant".to_owned(), "a".to_owned())];
    ExportSettings { traces: Some(OtlpExport { headers, ..otlp(endpoint, protocol) }), ..ExportSettings::default() }
}

pub fn start(settings: &ExportSettings) -> Exporter {
    start_of(settings, &run())
}

/// Of another run than [`run`].
pub fn start_of(settings: &ExportSettings, run: &RunInfo) -> Exporter {
    let checked = Checked::new(settings).expect("settings that make sense").expect("something to export");
    let resource = Resource { service_name: "shop".into(), attributes: vec![("team".into(), "a".into())] };
    Exporter::start(checked, &resource, run).expect("a thread")
}

/// Exports so many requests.
pub fn export(settings: &ExportSettings, requests: u64, patience: Duration) -> ExportOutcome {
    let exporter = start(settings);
    for id in 1..=requests {
        exporter.offer(&Arc::new(request(id)), Vec::new());
    }
    exporter.finish(patience)
}

/// How many requests were lost, for whatever reason.
pub fn lost(outcome: &TracesOutcome) -> u64 {
    outcome.lost.values().map(|lost| lost.requests).sum()
}

/// Exports so many requests as spans; every one is accounted for.
pub fn export_traces(settings: &ExportSettings, requests: u64, patience: Duration) -> TracesOutcome {
    let outcome = export(settings, requests, patience).traces.expect("there are spans");
    assert_eq!(outcome.all.requests, requests, "{outcome:?}");
    assert_eq!(outcome.sent.requests + outcome.unsampled.requests + lost(&outcome), requests, "{outcome:?}");
    outcome
}
