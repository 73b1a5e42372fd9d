//! What `--explain` adds to the contract.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use super::DisplayEndpoint;
use crate::report::finding::place::LocatedPlace;
use crate::report::run_report::FindingReport;
use cargo_beyla_core::model::explanation::{
    Awaited, CallWait, Delay, Explanation, Holder, Parts, Place, RespondParts, Wait,
};
use cargo_beyla_core::model::finding::{AskedFor, Delayed, Finding};
use cargo_beyla_core::model::summary::Explained;

/// What `--explain` could not find out about the run.
#[derive(Serialize)]
pub(super) struct ExplainRow<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    unseen: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    requests_not_opened: u64,
    #[serde(skip_serializing_if = "is_zero")]
    requests_of_tier_1: u64,
}

/// The parts of `handle`.
#[derive(Serialize)]
pub(super) struct PartsNs {
    running: u64,
    runnable: u64,
    blocked: u64,
    scheduled: u64,
    waiting: u64,
}

/// The parts of `respond`.
#[derive(Serialize)]
pub(super) struct RespondRow {
    #[serde(flatten)]
    task: PartsNs,
    client: u64,
}

#[derive(Serialize)]
pub(super) struct HandleRow<'a> {
    tier: u8,
    unit: &'static str,
    #[serde(flatten)]
    parts: PartsNs,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<PlaceRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by_stack: Vec<StackRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits: Vec<WaitRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<CallWaitRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delays: Vec<DelayRow<'a>>,
}

#[derive(Serialize)]
struct CallWaitRow {
    kind: &'static str,
    summary: Arc<str>,
    ns: u64,
    count: u32,
}

#[derive(Serialize)]
struct PlaceRow<'a> {
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_call: Option<Cow<'static, str>>,
    ns: u64,
    count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<u32>,
}

/// The time of one stack, where a place has several.
#[derive(Serialize)]
struct StackRow {
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_call: Option<Cow<'static, str>>,
    ns: u64,
    count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<u32>,
}

#[derive(Serialize)]
struct WaitRow<'a> {
    on: &'a str,
    ns: u64,
    count: u32,
    parts: PartsNs,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<PlaceRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits: Vec<WaitRow<'a>>,
}

#[derive(Serialize)]
struct DelayRow<'a> {
    by: Cow<'a, str>,
    ns: u64,
}

#[derive(Serialize)]
pub(super) struct FindingRow<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    count: u64,
    of: u64,
    total_ns: u64,
    max_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<PlaceRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<AskedForRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    delayed: Vec<DelayedRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tests: Vec<u32>,
    message: &'a str,
    cure: &'a str,
}

/// The calls that a finding is about.
#[derive(Serialize)]
struct AskedForRow<'a> {
    kind: &'static str,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<DisplayEndpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    max: u64,
}

#[derive(Serialize)]
struct DelayedRow {
    route: String,
    count: u64,
    total_ns: u64,
    max_ns: u64,
}

pub(super) fn explain(explained: &Explained) -> ExplainRow<'_> {
    let Explained { unseen, requests_not_opened, requests_seen, .. } = explained;
    ExplainRow { unseen, requests_not_opened: *requests_not_opened, requests_of_tier_1: *requests_seen }
}

pub(super) fn handle<'a>(explanation: &Explanation, explained: &'a Explained) -> HandleRow<'a> {
    let Explanation { tier, unit, parts, respond: _, places, by_stack, waits, calls, delays } = explanation;
    HandleRow {
        tier: tier.number(),
        unit: unit.label(),
        parts: parts.into(),
        places: list(places, explained, place),
        by_stack: list(by_stack, explained, stack),
        waits: list(waits, explained, wait),
        calls: calls.iter().map(CallWaitRow::from).collect(),
        delays: list(delays, explained, delay),
    }
}

impl From<&CallWait> for CallWaitRow {
    fn from(CallWait { kind, summary, ns, count }: &CallWait) -> Self {
        Self { kind: kind.label(), summary: Arc::clone(summary), ns: *ns, count: *count }
    }
}

pub(super) fn respond(&RespondParts { ref task, client }: &RespondParts) -> RespondRow {
    RespondRow { task: task.into(), client }
}

pub(super) fn finding<'a>(found: &'a FindingReport, explained: &'a Explained) -> FindingRow<'a> {
    let Finding { kind, route: of_route, place: at, asked_for, count, of, total_ns, max_ns, delayed, tests } =
        &found.finding;
    let delayed = delayed.iter().map(|Delayed { method, route, count, total_ns, max_ns }| DelayedRow {
        route: format!("{method} {route}"),
        count: *count,
        total_ns: *total_ns,
        max_ns: *max_ns,
    });
    FindingRow {
        kind: kind.label(),
        route: of_route.as_ref().map(route),
        count: *count,
        of: *of,
        total_ns: *total_ns,
        max_ns: *max_ns,
        place: at.as_ref().map(|at| place(at, explained)),
        call: asked_for.as_ref().map(|AskedFor { kind, summary, peer, status, most }| AskedForRow {
            kind: kind.label(),
            summary,
            peer: peer.as_ref().map(DisplayEndpoint),
            status: status.as_deref(),
            max: *most,
        }),
        delayed: delayed.collect(),
        tests: tests.iter().map(|test| test.0).collect(),
        message: &found.sentence,
        cure: found.cure,
    }
}

fn place<'a>(place: &Place, explained: &'a Explained) -> PlaceRow<'a> {
    let located = LocatedPlace::of(place, explained);
    PlaceRow {
        cause: located.cause_label(),
        system_call: located.system_call(),
        ns: place.ns,
        count: place.count,
        call: located.call,
        function: located.function,
        file: located.source.map(|(file, _)| file),
        line: located.source.map(|(_, line)| line),
        stack: stack_of(place, explained),
    }
}

fn stack(of: &Place, explained: &Explained) -> StackRow {
    let Place { cause, stack: _, ns, count } = *of;
    let system_call = LocatedPlace::of(of, explained).system_call();
    StackRow { cause: cause.label(), system_call, ns, count, stack: stack_of(of, explained) }
}

/// The number of its stack, if the report has that.
fn stack_of(place: &Place, explained: &Explained) -> Option<u32> {
    explained.stacks.contains_key(&place.stack).then_some(place.stack)
}

fn wait<'a>(of: &Wait, explained: &'a Explained) -> WaitRow<'a> {
    let Wait { on, ns, count, parts, waits, places } = of;
    WaitRow {
        on: match on {
            Awaited::BlockingPool => "blocking pool",
            Awaited::Task(functions) => task(*functions, explained),
        },
        ns: *ns,
        count: *count,
        parts: parts.into(),
        places: list(places, explained, place),
        waits: list(waits, explained, wait),
    }
}

fn delay<'a>(Delay { by, ns }: &Delay, explained: &'a Explained) -> DelayRow<'a> {
    let by = match by {
        Holder::Request(name) => route(name).into(),
        Holder::Task(functions) => task(*functions, explained).into(),
    };
    DelayRow { by, ns: *ns }
}

/// The type of a task.
fn task(functions: u64, explained: &Explained) -> &str {
    explained.task_types.get(&functions).map_or("a task", |name| name)
}

fn list<'a, T, R>(of: &[T], explained: &'a Explained, row: fn(&T, &'a Explained) -> R) -> Vec<R> {
    of.iter().map(|each| row(each, explained)).collect()
}

fn route((method, route): &(Arc<str>, Arc<str>)) -> String {
    format!("{method} {route}")
}

impl From<&Parts> for PartsNs {
    fn from(&Parts { running, runnable, blocked, scheduled, waiting }: &Parts) -> Self {
        Self { running, runnable, blocked, scheduled, waiting }
    }
}

impl From<[f64; 5]> for PartsNs {
    fn from(means: [f64; 5]) -> Self {
        let [running, runnable, blocked, scheduled, waiting] = means.map(|mean| mean.round() as u64);
        Self { running, runnable, blocked, scheduled, waiting }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(number: &u64) -> bool {
    *number == 0
}
