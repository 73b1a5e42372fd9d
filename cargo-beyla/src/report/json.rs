//! The JSON report: a contract, described field by field in `docs/json-report.md`.
//!
//! The structures below are that contract and nothing else. They borrow from the summary and are
//! made as they are written, so that a report of any length takes no memory of its own.

mod calls;
mod comparison;
mod explanation;
mod stacks;
mod suite;
mod tls;
mod verdicts;

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use calls::{call, call_summary};
use comparison::ComparisonRow;
use explanation::{ExplainRow, HandleRow, PartsNs, RespondRow};
use stacks::{FrameRow, StackRow, Stacks};
use tls::{TlsRow, TlsTotals};
use verdicts::BudgetRow;

use super::run_info::{Exit, RunInfo, Traced};
use super::run_report::{RunReport, test_id};
use cargo_beyla_core::model::boundaries::Phases;
use cargo_beyla_core::model::connection::{ConnectionInfo, Endpoint};
use cargo_beyla_core::model::duration::Distribution;
use cargo_beyla_core::model::grpc::Grpc;
use cargo_beyla_core::model::request::{MessageBytes, Request};
use cargo_beyla_core::model::summary::{Explained, RouteSummary, Unseen};

/// The version of the contract.
const SCHEMA: u32 = 1;

/// Writes the report, and a newline.
pub fn write(report: &RunReport, writer: impl Write) -> io::Result<()> {
    let RunReport { run, summary, verdicts, .. } = report;
    let explained = summary.explained.as_ref();
    let rounds = report.is_repeated();
    let nothing = Explained::default();
    let of_findings = explained.unwrap_or(&nothing);
    let findings = report.findings().iter().map(|found| explanation::finding(found, of_findings));
    let Stacks { frames, stacks } = explained.map(Stacks::of).unwrap_or_default();
    let contract = Report {
        schema: SCHEMA,
        version: &run.version,
        target: match &run.traced {
            Traced::Server { pid, executable, .. } => Target {
                pid: Some(*pid),
                executable: Some(executable.to_string_lossy()),
                workspace: None,
                listening: Some(List(summary.listening.iter().map(DisplayEndpoint))),
            },
            Traced::Tests { workspace, .. } => {
                Target { pid: None, executable: None, workspace: Some(workspace.to_string_lossy()), listening: None }
            }
        },
        started_unix_ns: run.started_unix_ns,
        duration_ns: report.duration_ns,
        exit: report.exit,
        capture: &run.capture,
        totals: Totals {
            requests: summary.totals.requests,
            errors: summary.totals.errors,
            incomplete: summary.totals.incomplete,
            connections: summary.totals.connections,
            lost_events: summary.unseen.lost_records,
            requests_not_kept: summary.totals.requests_not_kept,
            calls: summary.totals.calls,
            call_errors: summary.totals.call_errors,
            calls_not_kept: summary.totals.calls_not_kept,
            client_connections: summary.totals.client_connections,
            total_ns: summary.total.map(TotalNs::from),
        },
        unseen: NonZero(&summary.unseen),
        tls: tls::totals(&summary.tls),
        explain: explained.map(explanation::explain),
        routes: List(summary.routes.iter().map(route)),
        tests: match &run.traced {
            Traced::Server { .. } => None,
            Traced::Tests { .. } => Some(List(summary.tests.iter().map(|test| suite::test(test, rounds, run)))),
        },
        requests: List(summary.requests.iter().map(|kept| request(kept, run, explained))),
        calls: List(summary.calls.iter().map(|kept| call(kept, run))),
        call_summaries: List(summary.call_summaries.iter().map(call_summary)),
        findings: List(findings),
        frames,
        stacks,
        notes: report.notes(),
        budgets: verdicts.budgets.iter().map(verdicts::budget).collect(),
        comparison: verdicts.comparison.as_ref().map(comparison::comparison),
    };
    // The serializer writes every token by itself.
    let mut writer = BufWriter::new(writer);
    serde_json::to_writer(&mut writer, &contract)?;
    writer.write_all(b"\n")?;
    writer.flush()
}

/// One request as it stands in the report, without the parts of its `handle` phase.
pub fn of_request(kept: &Request, run: &RunInfo, indent: bool) -> io::Result<String> {
    let row = request(kept, run, None);
    Ok(if indent { serde_json::to_string_pretty(&row)? } else { serde_json::to_string(&row)? })
}

#[derive(Serialize)]
struct Report<'a, L, R, T, Q, C, S, F>
where
    L: Serialize,
    R: Serialize,
    T: Serialize,
    Q: Serialize,
    C: Serialize,
    S: Serialize,
    F: Serialize,
{
    schema: u32,
    version: &'a str,
    target: Target<'a, L>,
    started_unix_ns: u64,
    duration_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit>,
    capture: &'a str,
    totals: Totals,
    unseen: NonZero<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsTotals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainRow<'a>>,
    routes: R,
    #[serde(skip_serializing_if = "Option::is_none")]
    tests: Option<T>,
    requests: Q,
    calls: C,
    call_summaries: S,
    findings: F,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frames: Vec<FrameRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stacks: Vec<StackRow>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<BudgetRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparisonRow<'a>>,
}

#[derive(Serialize)]
struct Target<'a, L: Serialize> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listening: Option<L>,
}

#[derive(Serialize)]
struct Totals {
    requests: u64,
    errors: u64,
    incomplete: u64,
    connections: u64,
    lost_events: u64,
    requests_not_kept: u64,
    calls: u64,
    call_errors: u64,
    calls_not_kept: u64,
    client_connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ns: Option<TotalNs>,
}

#[derive(Serialize)]
struct RouteRow<'a> {
    method: &'a str,
    route: &'a str,
    count: u64,
    errors: u64,
    incomplete: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ns: Option<TotalNs>,
    phase_mean_ns: PhasesNs,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle_mean_ns: Option<PartsNs>,
}

#[derive(Serialize)]
struct TotalNs {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
    mean: u64,
}

#[derive(Serialize)]
struct PhasesNs {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    respond: Option<u64>,
}

#[derive(Serialize)]
struct RequestRow<'a> {
    id: u64,
    connection: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<u32>,
    protocol: &'a str,
    scheme: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<GrpcRow<'a>>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    outcome: &'static str,
    start_unix_ns: u64,
    total_ns: u64,
    phases: PhasesNs,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<HandleRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    respond: Option<RespondRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_unix_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_wait_ns: Option<u64>,
    request_bytes: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<Bytes>,
    client: DisplayEndpoint<'a>,
    server: DisplayEndpoint<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<DisplayEndpoint<'a>>,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    calls: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_not_kept: Option<u64>,
    #[serde(flatten)]
    trace: Option<TraceRow>,
}

#[derive(Serialize)]
struct GrpcRow<'a> {
    service: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_messages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_messages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ns: Option<u64>,
}

#[derive(Serialize)]
// They are called so in the report.
#[allow(clippy::struct_field_names)]
struct TraceRow {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
}

#[derive(Serialize)]
struct Bytes {
    header: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<u64>,
}

fn route(route: &RouteSummary) -> RouteRow<'_> {
    let RouteSummary { method, route, count, errors, incomplete, total, phase_mean, handle_mean } = route;
    let [queue, receive, handle, respond] = phase_mean.map(|mean| mean.map(|ns| ns.round() as u64));
    RouteRow {
        method,
        route,
        count: *count,
        errors: *errors,
        incomplete: *incomplete,
        total_ns: total.map(TotalNs::from),
        phase_mean_ns: PhasesNs { queue, receive, handle, respond },
        handle_mean_ns: handle_mean.map(PartsNs::from),
    }
}

fn request<'a>(request: &'a Request, run: &RunInfo, explained: Option<&'a Explained>) -> RequestRow<'a> {
    let boundaries = &request.boundaries;
    let Phases { queue, receive, handle, respond } = boundaries.phases();
    RequestRow {
        id: request.id,
        connection: request.connection.id,
        pid: pid(&request.connection, run),
        test: test_id(request).map(|test| test.0),
        protocol: request.protocol,
        scheme: request.scheme(),
        tls: request.connection.tls.as_ref().map(|tls| tls::of_connection(tls, request.handshake_ns())),
        stream: request.stream.map(|stream| stream.0),
        grpc: request.grpc.as_deref().map(GrpcRow::from),
        method: &request.method,
        path: &request.path,
        query: request.query.as_deref(),
        route: &request.route,
        status: request.status,
        outcome: request.outcome.label(),
        start_unix_ns: run.unix_ns(boundaries.start()),
        total_ns: boundaries.total(),
        phases: PhasesNs { queue, receive, handle, respond },
        handle: request
            .explanation
            .as_ref()
            .zip(explained)
            .map(|(handle, explained)| explanation::handle(handle, explained)),
        respond: request.explanation.as_ref().and_then(|opened| opened.respond.as_ref()).map(explanation::respond),
        connected_unix_ns: boundaries.connected.map(|connected| run.unix_ns(connected)),
        accept_wait_ns: boundaries.accept_wait(),
        request_bytes: request.request_bytes.into(),
        response_bytes: request.response_bytes.map(Bytes::from),
        client: DisplayEndpoint(&request.connection.client),
        server: DisplayEndpoint(&request.connection.server),
        proxy: request.connection.proxy.as_ref().map(DisplayEndpoint),
        calls: &request.calls,
        calls_not_kept: Some(request.calls_not_kept).filter(|number| *number > 0),
        trace: request.trace.as_deref().map(|context| TraceRow {
            trace_id: context.trace_id.to_string(),
            span_id: context.span_id.to_string(),
            parent_span_id: context.parent().map(|parent| parent.to_string()),
        }),
    }
}

/// The process that a connection belongs to, if that is known.
fn pid(connection: &ConnectionInfo, run: &RunInfo) -> Option<u32> {
    connection.owner.map(|owner| owner.pid).filter(|pid| *pid > 0).or(run.pid())
}

impl From<Distribution> for TotalNs {
    fn from(Distribution { p50, p90, p99, max, mean }: Distribution) -> Self {
        Self { p50, p90, p99, max, mean: mean.round() as u64 }
    }
}

impl<'a> From<&'a Grpc> for GrpcRow<'a> {
    fn from(grpc: &'a Grpc) -> Self {
        let Grpc { service, method, status, request_messages, response_messages, timeout_ns } = grpc;
        Self {
            service,
            method,
            status: *status,
            request_messages: *request_messages,
            response_messages: *response_messages,
            timeout_ns: *timeout_ns,
        }
    }
}

impl From<MessageBytes> for Bytes {
    fn from(MessageBytes { header, body }: MessageBytes) -> Self {
        Self { header, body }
    }
}

/// An array whose rows are made one at a time, as they are written.
struct List<I>(I);

impl<I> Serialize for List<I>
where
    I: Iterator<Item: Serialize> + Clone,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// An endpoint as people write it.
struct DisplayEndpoint<'a>(&'a Endpoint);

impl Serialize for DisplayEndpoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The counts that are not 0, by name.
struct NonZero<'a>(&'a Unseen);

impl Serialize for NonZero<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Unseen {
            lost_records,
            skipped_probes,
            failed_reads,
            out_of_step,
            untracked_connections,
            missing_bytes,
            upgraded_connections,
            tls_connections,
            partial_heads,
            pushed_responses,
            unreadable_connections,
            unread_requests,
            io_urings,
            unjoined_connections,
            foreign_connections,
            unattributed_calls,
            unread_calls,
            tls_client_connections,
            upgraded_client_connections,
            unreadable_client_connections,
        } = *self.0;
        let counts = [
            ("lost_records", lost_records),
            ("skipped_probes", skipped_probes),
            ("failed_reads", failed_reads),
            ("out_of_step", out_of_step),
            ("untracked_connections", untracked_connections),
            ("missing_bytes", missing_bytes),
            ("upgraded_connections", upgraded_connections),
            ("tls_connections", tls_connections),
            ("partial_heads", partial_heads),
            ("pushed_responses", pushed_responses),
            ("unreadable_connections", unreadable_connections),
            ("unread_requests", unread_requests),
            ("io_urings", io_urings),
            ("unjoined_connections", unjoined_connections),
            ("foreign_connections", foreign_connections),
            ("unattributed_calls", unattributed_calls),
            ("unread_calls", unread_calls),
            ("tls_client_connections", tls_client_connections),
            ("upgraded_client_connections", upgraded_client_connections),
            ("unreadable_client_connections", unreadable_client_connections),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
