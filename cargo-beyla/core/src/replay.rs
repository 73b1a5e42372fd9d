//! What a trace makes of hand-made events, and what holds for every summary, for tests.

use crate::event::Event;
use crate::event_builder::EventBuilder;
use crate::exchange::route::RouteTable;
use crate::model::call::{Call, CallBoundaries};
use crate::model::explanation::{Cause, Explanation, Parts, Place, Wait};
use crate::model::request::Request;
use crate::model::summary::{RouteSummary, Summary};
use crate::model::system_call::Architecture;
use crate::trace::{Trace, TraceSettings};

impl EventBuilder {
    /// What a trace makes of the events, ended 10 ns after the last record.
    pub(crate) fn summary(&self) -> Summary {
        self.summary_keeping(usize::MAX)
    }

    /// The same, recorded on a machine of this architecture.
    pub(crate) fn summary_on(&self, architecture: Architecture) -> Summary {
        let routes = RouteTable::new(&[]).expect("no patterns");
        let settings = TraceSettings { architecture, ..TraceSettings::new(routes, usize::MAX) };
        summary_with(&self.bytes, self.now + 10, settings).0
    }

    pub(crate) fn summary_keeping(&self, max_requests: usize) -> Summary {
        let (summary, rest) = summary_of(&self.bytes, self.now + 10, max_requests);
        assert!(rest.is_empty());
        summary
    }
}

/// What a trace makes of bytes, up to the first that are no record; and these.
pub(crate) fn summary_of(bytes: &[u8], now_ns: u64, max_requests: usize) -> (Summary, &[u8]) {
    let routes = RouteTable::new(&[]).expect("no patterns");
    summary_with(bytes, now_ns, TraceSettings::new(routes, max_requests))
}

fn summary_with(mut bytes: &[u8], now_ns: u64, settings: TraceSettings) -> (Summary, &[u8]) {
    let mut trace = Trace::new(settings);
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        trace.record(&event);
        bytes = &bytes[size..];
    }
    let summary = trace.finish(now_ns);
    for request in &summary.requests {
        assert_sound(request);
    }
    summary.calls.iter().for_each(|call| assert_call_sound(call));
    let totals = summary.totals;
    assert_eq!(totals.calls, summary.calls.len() as u64 + totals.calls_not_kept);
    assert_eq!(totals.calls, summary.call_summaries.iter().map(|row| row.count).sum::<u64>());
    assert_eq!(totals.call_errors, summary.call_summaries.iter().map(|row| row.errors).sum::<u64>());
    assert_eq!(totals.requests, summary.requests.len() as u64 + totals.requests_not_kept);
    for (total, of_route) in [
        (totals.requests, (|route| route.count) as fn(&RouteSummary) -> u64),
        (totals.errors, |route| route.errors),
        (totals.incomplete, |route| route.incomplete),
    ] {
        assert_eq!(total, summary.routes.iter().map(of_route).sum::<u64>());
    }
    (summary, bytes)
}

/// The places and the waits of parts lie within them.
fn assert_within(parts: &Parts, places: &[Place], waits: &[Wait], depth: usize) {
    let (running, off): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.cause == Cause::Running);
    assert!(running.iter().map(|place| place.ns).sum::<u64>() <= parts.running, "{places:?} {parts:?}");
    assert!(off.iter().map(|place| place.ns).sum::<u64>() <= parts.blocked, "{places:?} {parts:?}");
    assert!(waits.iter().map(|wait| wait.ns).sum::<u64>() <= parts.waiting, "{waits:?} {parts:?}");
    assert!(places.len() <= 8 && waits.len() <= 8 && (depth < 4 || waits.is_empty()));
    for wait in waits {
        assert!(wait.parts.sum() <= wait.ns, "{wait:?}");
        assert_within(&wait.parts, &wait.places, &wait.waits, depth + 1);
    }
}

/// Phases sum to the total and boundaries never decrease.
pub(crate) fn assert_call_sound(call: &Call) {
    let boundaries = &call.boundaries;
    assert_eq!(boundaries.phases().sum(), boundaries.total(), "{call:?}");
    let CallBoundaries { connecting, begun, sent, answered, read, ended } = *boundaries;
    let in_order = [connecting, Some(begun), sent, answered, read, Some(ended)];
    assert!(in_order.iter().flatten().is_sorted(), "{call:?}");
    assert!(read.is_some() || (answered.is_none() && call.response_bytes.is_none()), "{call:?}");
}

/// The same of a request.
pub(crate) fn assert_sound(request: &Request) {
    let boundaries = &request.boundaries;
    assert_eq!(boundaries.phases().sum(), boundaries.total(), "{request:?}");
    let in_order =
        [boundaries.arrived, Some(boundaries.read), boundaries.received, boundaries.responded, Some(boundaries.ended)];
    assert!(in_order.iter().flatten().is_sorted(), "{request:?}");
    assert!([boundaries.connected, boundaries.accepted].iter().flatten().is_sorted(), "{request:?}");
    assert!(boundaries.accepted.is_none_or(|accepted| accepted <= boundaries.read), "{request:?}");
    if let Some(explanation) = &request.explanation {
        let Explanation { parts, places, waits, calls, .. } = &**explanation;
        assert!(calls.iter().map(|wait| wait.ns).sum::<u64>() <= parts.waiting, "{calls:?} {parts:?}");
        assert_eq!(Some(parts.sum()), boundaries.phases().handle, "{request:?}");
        assert_within(parts, places, waits, 0);
    }
}
