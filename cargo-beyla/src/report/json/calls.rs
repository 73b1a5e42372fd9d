//! The calls that the process made, in the JSON report.

use serde::Serialize;

use super::tls::{self, TlsRow};
use super::{Bytes, DisplayEndpoint, TotalNs};
use crate::report::run_info::RunInfo;
use cargo_beyla_core::model::call::{Call, CallPhases, CallSummary, CallsPerRequest};

#[derive(Serialize)]
pub(super) struct CallRow<'a> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<DisplayEndpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    error: bool,
    outcome: &'static str,
    start_unix_ns: u64,
    total_ns: u64,
    phases: CallPhasesNs,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<u64>,
    #[serde(flatten)]
    trace: Option<super::TraceRow>,
}

#[derive(Serialize)]
struct CallPhasesNs {
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct CallSummaryRow<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<DisplayEndpoint<'a>>,
    summary: &'a str,
    count: u64,
    errors: u64,
    incomplete: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ns: Option<TotalNs>,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_request: Option<PerRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of_tests: Option<bool>,
}

#[derive(Serialize)]
struct PerRequest {
    mean: f64,
    max: u64,
}

pub(super) fn call<'a>(call: &'a Call, run: &RunInfo) -> CallRow<'a> {
    let Call {
        id,
        connection,
        stream: _,
        kind,
        summary,
        text,
        status,
        is_error,
        rows,
        outcome,
        boundaries,
        request_bytes,
        response_bytes,
        trace: _,
        request,
        served,
        span,
    } = call;
    let peer = call.peer();
    let CallPhases { connect, send, wait, pickup, receive } = boundaries.phases();
    CallRow {
        id: *id,
        request: request.map(|of| of.request),
        certainty: request.map(|of| of.certainty.label()),
        kind: kind.label(),
        peer: peer.map(DisplayEndpoint),
        connection: peer.map(|_| connection.id),
        pid: super::pid(connection, run),
        summary,
        text: text.as_deref(),
        status: status.as_deref(),
        error: *is_error,
        outcome: outcome.label(),
        start_unix_ns: run.unix_ns(boundaries.start()),
        total_ns: boundaries.total(),
        phases: CallPhasesNs { connect, send, wait, pickup, receive },
        tls: connection.tls.as_ref().map(|tls| tls::of_connection(tls, boundaries.connecting.and(tls.handshake_ns))),
        request_bytes: peer.map(|_| (*request_bytes).into()),
        response_bytes: response_bytes.map(Bytes::from),
        rows: *rows,
        served: *served,
        trace: span.as_deref().map(|span| super::TraceRow {
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent.map(|parent| parent.to_string()),
        }),
    }
}

pub(super) fn call_summary(of: &CallSummary) -> CallSummaryRow<'_> {
    let CallSummary { kind, peer, summary, count, errors, incomplete, total, requests, per_request, is_of_tests } = of;
    CallSummaryRow {
        kind: kind.label(),
        peer: peer.as_ref().map(DisplayEndpoint),
        summary,
        count: *count,
        errors: *errors,
        incomplete: *incomplete,
        total_ns: total.map(TotalNs::from),
        requests: *requests,
        per_request: per_request.map(|CallsPerRequest { mean, max }| PerRequest { mean, max }),
        of_tests: is_of_tests.then_some(true),
    }
}
