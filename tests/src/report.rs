//! The JSON report: its contract, what must hold in every one, and its rows as text.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::explanation::{Explain, Finding, Handle, Parts, RespondParts, Unit};
use crate::rows;

/// The JSON report, field by field as it is documented.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Report {
    pub schema: u32,
    pub version: String,
    pub target: Target,
    pub started_unix_ns: u64,
    pub duration_ns: u64,
    /// That of a server that we have started.
    pub exit: Option<Exit>,
    pub totals: Totals,
    pub routes: Vec<Route>,
    pub requests: Vec<Request>,
    #[serde(default)]
    pub calls: Vec<Call>,
    #[serde(default)]
    pub call_summaries: Vec<CallSummary>,
    /// Counts that are not zero.
    #[serde(default)]
    pub unseen: BTreeMap<String, u64>,
    pub tls: Option<TlsTotals>,
    pub explain: Option<Explain>,
    pub findings: Vec<Finding>,
}

/// Of a run of tests, nothing of this is there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Target {
    pub pid: u32,
    pub executable: String,
    pub listening: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Totals {
    pub requests: u64,
    pub errors: u64,
    pub incomplete: u64,
    pub connections: u64,
    pub lost_events: u64,
    pub requests_not_kept: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Route {
    pub method: String,
    pub route: String,
    pub count: u64,
    pub errors: u64,
    pub total_ns: Option<Distribution>,
    pub handle_mean_ns: Option<BTreeMap<String, f64>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Distribution {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    pub mean: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Request {
    pub id: u64,
    pub connection: u64,
    pub pid: u32,
    pub protocol: String,
    pub scheme: String,
    pub tls: Option<Tls>,
    pub stream: Option<u64>,
    pub grpc: Option<Grpc>,
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub route: String,
    pub status: Option<u16>,
    pub outcome: String,
    pub start_unix_ns: u64,
    pub total_ns: u64,
    pub phases: Phases,
    pub handle: Option<Handle>,
    pub respond: Option<RespondParts>,
    pub accept_wait_ns: Option<u64>,
    pub request_bytes: Bytes,
    pub response_bytes: Option<Bytes>,
    pub client: String,
    pub server: String,
    pub proxy: Option<String>,
    pub trace_id: Option<String>,
    pub span_id: Option<String>,
    pub parent_span_id: Option<String>,
    #[serde(default)]
    pub calls: Vec<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Call {
    pub id: u64,
    pub request: Option<u64>,
    pub certainty: Option<String>,
    pub kind: String,
    #[serde(default)]
    pub peer: String,
    pub connection: Option<u64>,
    pub summary: String,
    pub text: Option<String>,
    pub status: Option<String>,
    pub error: bool,
    pub outcome: String,
    pub start_unix_ns: u64,
    pub total_ns: u64,
    pub phases: CallPhases,
    pub tls: Option<Tls>,
    pub rows: Option<u64>,
    pub served: Option<u64>,
    pub trace_id: Option<String>,
    pub span_id: Option<String>,
    pub parent_span_id: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct CallPhases {
    pub connect: Option<u64>,
    pub send: Option<u64>,
    pub wait: Option<u64>,
    pub pickup: Option<u64>,
    pub receive: Option<u64>,
}

/// What a connection agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Tls {
    pub version: Option<String>,
    pub cipher: Option<String>,
    pub library: Option<String>,
    pub alpn: Option<String>,
    pub server_name: Option<String>,
    pub resumed: Option<bool>,
    pub handshake_ns: Option<u64>,
}

/// What was counted of TLS.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct TlsTotals {
    pub connections: u64,
    pub client_connections: u64,
    pub handshakes: Option<Durations>,
    #[serde(default)]
    pub failed: Vec<FailedHandshakes>,
    #[serde(default)]
    pub unread: Vec<UnreadConnections>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Durations {
    pub count: u64,
    pub mean_ns: u64,
    pub max_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct FailedHandshakes {
    pub role: String,
    pub by: String,
    pub alert: Option<String>,
    pub count: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct UnreadConnections {
    pub role: String,
    pub reason: String,
    pub cipher: Option<String>,
    pub connections: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub turns: Option<Durations>,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct CallSummary {
    pub kind: String,
    pub peer: Option<String>,
    pub summary: String,
    pub count: u64,
    pub errors: u64,
}

impl Call {
    /// When it ended.
    pub fn end_unix_ns(&self) -> u64 {
        self.start_unix_ns + self.total_ns
    }

    /// Its text, or nothing.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn check(&self, report: &Report) {
        let CallPhases { connect, send, wait, pickup, receive } = self.phases;
        let sum: u64 = [connect, send, wait, pickup, receive].into_iter().flatten().sum();
        assert_eq!(sum, self.total_ns, "the phases do not sum to the total: {self:#?}");
        assert_eq!(self.request.is_some(), self.certainty.is_some(), "{self:#?}");
        assert!(self.start_unix_ns >= report.started_unix_ns, "{self:#?}");
        if let Some(request) = self.request.and_then(|id| report.requests.iter().find(|request| request.id == id)) {
            assert!(request.calls.contains(&self.id), "{self:#?} {request:#?}");
            assert!(self.start_unix_ns >= request.start_unix_ns, "{self:#?} {request:#?}");
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Grpc {
    pub service: String,
    pub method: String,
    pub status: Option<u32>,
    pub request_messages: Option<u64>,
    pub response_messages: Option<u64>,
    pub timeout_ns: Option<u64>,
}

impl Grpc {
    /// Whether the status means that the server failed: UNKNOWN, `DEADLINE_EXCEEDED`, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
    /// `DATA_LOSS`.
    pub fn is_error(&self) -> bool {
        matches!(self.status, Some(2 | 4 | 12 | 13 | 14 | 15))
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Phases {
    pub queue: Option<u64>,
    pub receive: Option<u64>,
    pub handle: Option<u64>,
    pub respond: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Bytes {
    pub header: u64,
    pub body: Option<u64>,
}

impl Phases {
    /// Each phase, in the order in which they follow one another.
    pub fn all(&self) -> [Option<u64>; 4] {
        [self.queue, self.receive, self.handle, self.respond]
    }

    /// The handle phase of a request that had one.
    pub fn handle_ns(&self) -> u64 {
        self.handle.expect("a handle phase")
    }
}

impl Report {
    /// The requests of a path, in the order in which they were read.
    pub fn of_path<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Request> {
        self.requests.iter().filter(move |request| request.path == path)
    }

    /// Each request of a path was mostly so, and most of them were nearly nothing else, but for what was left to others:
    /// in all requests, which came one after the other, that is no more than what was `taken` from the server. A machine
    /// that is itself a guest may stand still for some milliseconds of one, which the kernel counts to whoever was about
    /// to run.
    pub fn mostly(&self, path: &str, part: fn(&Parts) -> u64, taken: Duration) {
        let left: u64 = self.requests.iter().filter_map(|request| Some(request.handle.as_ref()?.parts.left())).sum();
        // Every await takes a moment.
        let most = taken.mul_f64(1.02) + Duration::from_millis(self.requests.len() as u64);
        assert!(Duration::from_nanos(left) <= most, "{left} ns left to others, of {taken:?}: {:#?}", self.requests);
        let mut shares: Vec<f64> = self.of_path(path).map(|request| request.opened().parts.own_share(part)).collect();
        shares.sort_by(f64::total_cmp);
        let middle = shares[shares.len() / 2];
        assert!(shares[0] >= 0.8 && middle >= 0.95, "{path}: {shares:?} {:#?}", self.requests);
    }

    /// What was not seen of a kind.
    pub fn unseen(&self, kind: &str) -> u64 {
        self.unseen.get(kind).copied().unwrap_or(0)
    }

    /// Whether there is a finding of a kind.
    pub fn has_finding(&self, kind: &str) -> bool {
        self.findings.iter().any(|finding| finding.kind == kind)
    }

    /// The only finding of a kind.
    pub fn the_finding(&self, kind: &str) -> &Finding {
        let mut found = self.findings.iter().filter(|finding| finding.kind == kind);
        match (found.next(), found.next()) {
            (Some(finding), None) => finding,
            _ => panic!("not one {kind}: {:#?}", self.findings),
        }
    }

    /// Each request as [`rows`] writes it.
    pub fn rows(&self) -> Vec<String> {
        self.requests.iter().map(rows::of).collect()
    }

    /// Everything in the report that two runs of one scenario have in common: all but times, process
    /// ids and ports.
    pub fn without_times(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.requests.iter().map(Request::without_times).collect();
        // Of connections side by side either may be read first.
        lines.sort();
        let mut by_connection: BTreeMap<u64, u64> = BTreeMap::new();
        for request in &self.requests {
            *by_connection.entry(request.connection).or_default() += 1;
        }
        let mut by_connection: Vec<u64> = by_connection.into_values().collect();
        by_connection.sort_unstable();
        lines.push(format!("requests of each connection: {by_connection:?}"));
        let mut routes: Vec<String> = self
            .routes
            .iter()
            .map(|route| format!("{} {}: {}, errors {}", route.method, route.route, route.count, route.errors))
            .collect();
        routes.sort();
        lines.extend(routes);
        // Probes see the whole machine, and the kernel skips one where an interrupt meets it at work: that is chance.
        let unseen: BTreeMap<_, _> = self.unseen.iter().filter(|(kind, _)| *kind != "skipped_probes").collect();
        lines.push(format!("{:?} {unseen:?} listening on {}", self.totals, self.target.listening.len()));
        lines
    }

    /// What must hold in every report, whatever has happened.
    pub fn check(&self) {
        assert_eq!(self.schema, 1);
        let totals = self.totals;
        assert_eq!(totals.requests, self.requests.len() as u64 + totals.requests_not_kept);
        assert_eq!(totals.requests, self.routes.iter().map(|route| route.count).sum::<u64>(), "routes and total");
        assert_eq!(totals.errors, self.routes.iter().map(|route| route.errors).sum::<u64>(), "routes and errors");
        assert_eq!(totals.lost_events, 0, "events were lost");
        if totals.requests_not_kept == 0 {
            let incomplete = self.requests.iter().filter(|request| request.outcome != "complete").count();
            assert_eq!(totals.incomplete, incomplete as u64);
            let errors = self.requests.iter().filter(|request| request.is_error()).count();
            assert_eq!(totals.errors, errors as u64);
        }
        assert!(self.requests.is_sorted_by(|one, next| one.id < next.id), "ids count up");
        for route in &self.routes {
            if let Some(Distribution { p50, p90, p99, max, mean }) = route.total_ns {
                // Percentiles have three significant digits, the largest is exact.
                let top = max * 1.001;
                assert!(p50 <= p90 && p90 <= p99 && p99 <= top && mean <= top, "{route:?}");
            }
        }
        for request in &self.requests {
            request.check(self);
        }
        assert!(self.calls.is_sorted_by(|one, next| one.id < next.id), "ids count up");
        for call in &self.calls {
            call.check(self);
        }
    }

    /// The calls of a kind, in the order in which they began.
    pub fn calls_of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Call> {
        self.calls.iter().filter(move |call| call.kind == kind)
    }

    /// What must hold of all that `--explain` tells, even if events were lost.
    pub fn check_explanations(&self) {
        for request in &self.requests {
            if let Some(handle) = &request.handle {
                handle.check(request.phases.queue, request.phases.handle);
            }
            if let Some(respond) = &request.respond {
                assert_eq!(Some(respond.sum()), request.phases.respond, "{request:#?}");
            }
        }
        for finding in &self.findings {
            finding.check();
        }
    }

    /// What must hold in every report of a server whose tasks can be seen, under `--explain`: each
    /// complete request is opened, as a task.
    pub fn check_opened(&self) {
        self.check();
        self.check_units(Unit::Task);
        assert_eq!(self.explain, Some(Explain { unseen: None, requests_not_opened: 0, requests_of_tier_1: 0 }));
    }

    /// The same of a server of which only threads can be seen: the report says why.
    pub fn check_opened_as_threads(&self) {
        self.check();
        self.check_units(Unit::Thread);
        let Explain { unseen, requests_not_opened, .. } = self.explain.clone().expect("a run with --explain");
        assert!(unseen.is_some_and(|unseen| unseen.split_whitespace().count() > 3), "no sentence says why");
        assert_eq!(requests_not_opened, 0);
    }

    fn check_units(&self, unit: Unit) {
        for request in self.requests.iter().filter(|request| request.outcome == "complete") {
            assert_eq!(request.handle.as_ref().map(|handle| handle.unit), Some(unit), "{request:#?}");
        }
    }
}

impl Request {
    /// The handle phase of a request that was opened.
    pub fn opened(&self) -> &Handle {
        self.handle.as_ref().unwrap_or_else(|| panic!("not opened: {self:#?}"))
    }

    fn is_error(&self) -> bool {
        let grpc = self.grpc.as_ref().is_some_and(Grpc::is_error);
        grpc || self.status.is_some_and(|status| status >= 500) || self.outcome == "server closed"
    }

    fn check(&self, report: &Report) {
        assert_eq!(self.pid, report.target.pid, "{self:#?}");
        let sum: u64 = self.phases.all().into_iter().flatten().sum();
        assert_eq!(sum, self.total_ns, "the phases do not sum to the total: {self:#?}");
        let until = self.start_unix_ns + self.total_ns;
        assert!(self.start_unix_ns >= report.started_unix_ns, "{self:#?}");
        assert!(until <= report.started_unix_ns + report.duration_ns, "{self:#?}");
        let outcomes = ["complete", "client closed", "server closed", "still open", "not seen"];
        assert!(outcomes.contains(&self.outcome.as_str()), "{self:#?}");
        if self.outcome == "complete" {
            assert_eq!(self.phases.all().map(|phase| phase.is_some()), [true; 4], "{self:#?}");
            assert!(self.status.is_some() && self.response_bytes.is_some(), "{self:#?}");
        }
        assert_eq!(self.status.is_some(), self.response_bytes.is_some(), "{self:#?}");
    }

    fn without_times(&self) -> String {
        let host = |address: &str| match address.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            // Paths of sockets lie in folders whose names differ from run to run.
            _ => address.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        format!(
            "{} {} stream {:?} {:?} query {:?} route {} client {} server {} phases {:?}",
            rows::of(self),
            self.protocol,
            self.stream,
            self.grpc,
            self.query,
            self.route,
            host(&self.client),
            host(&self.server),
            self.phases.all().map(|phase| phase.is_some()),
        )
    }
}

/// That a wrong report fails.
#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MS: u64 = 1_000_000;

    /// A report of a `/spin` of 50 ms, of which `running` ran and the rest was runnable.
    fn report(running: u64, explain: &Value) -> Report {
        let bytes = json!({ "header": 9, "body": 0 });
        let request = json!({
            "id": 1, "connection": 1, "pid": 7, "protocol": "http/1.1", "scheme": "http", "method": "GET", "path": "/spin",
            "route": "/spin", "status": 200, "outcome": "complete", "start_unix_ns": 0, "total_ns": 50 * MS,
            "phases": { "queue": 0, "receive": 0, "handle": 50 * MS, "respond": 0 },
            "handle": {
                "tier": 2, "unit": "task", "running": running, "runnable": 50 * MS - running, "blocked": 0, "scheduled": 0,
                "waiting": 0,
            },
            "request_bytes": bytes, "response_bytes": bytes, "client": "127.0.0.1:1", "server": "127.0.0.1:2",
        });
        let route = json!({ "method": "GET", "route": "/spin", "count": 1, "errors": 0 });
        let mut report = json!({
            "schema": 1, "version": "0", "target": { "pid": 7, "executable": "s", "listening": [] },
            "started_unix_ns": 0, "duration_ns": 60 * MS,
            "totals": { "requests": 1, "errors": 0, "incomplete": 0, "connections": 1, "lost_events": 0, "requests_not_kept": 0 },
            "routes": [route], "requests": [request], "findings": [],
        });
        if !explain.is_null() {
            report["explain"] = explain.clone();
        }
        serde_json::from_value(report).expect("a report")
    }

    #[test]
    fn what_ran_is_no_less_than_what_the_machine_left() {
        report(50 * MS, &json!({})).mostly("/spin", |parts| parts.running, Duration::ZERO);
        report(10 * MS, &json!({})).mostly("/spin", |parts| parts.running, Duration::from_millis(40));
    }

    #[test]
    #[should_panic(expected = "left to others")]
    fn what_ran_may_not_be_booked_as_runnable() {
        report(MS, &json!({})).mostly("/spin", |parts| parts.running, Duration::from_millis(10));
    }

    #[test]
    fn a_report_of_explain_is_opened() {
        report(50 * MS, &json!({})).check_opened();
    }

    #[test]
    #[should_panic(expected = "Explain")]
    fn a_report_without_explain_is_not() {
        report(50 * MS, &Value::Null).check_opened();
    }
}
