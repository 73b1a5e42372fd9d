//! Which trace requests belong to, and how they are handed out while the run goes on.

use super::*;
use crate::model::trace_context::Caller;

const PARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\n{fields}\r\n")
}

fn settings() -> TraceSettings {
    TraceSettings::new(RouteTable::new(&[]).expect("no patterns"), usize::MAX)
}

fn trace_of(events: &EventBuilder, settings: TraceSettings) -> Trace {
    let mut trace = Trace::new(settings);
    let mut bytes = &events.bytes[..];
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        trace.record(&event);
        bytes = &bytes[size..];
    }
    trace
}

/// The requests of a connection on which these header fields are sent.
fn requests(fields: &[&str], settings: TraceSettings) -> Vec<Arc<Request>> {
    let mut events = EventBuilder::with_connection();
    for fields in fields {
        events.receive(1, get(fields)).send(1, OK);
    }
    trace_of(&events, settings).finish(events.now).requests
}

#[test]
fn a_request_has_the_context_that_it_came_with() {
    let with_state = format!("{PARENT}tracestate: a=1\r\nTracestate: b=2\r\n");
    let twice = format!("{PARENT}{PARENT}");
    // Each twice in a row: of the second its head is remembered.
    let requests = requests(&[PARENT, PARENT, &with_state, &with_state, &twice, &twice, "", ""], settings());
    let callers: Vec<Option<&Caller>> =
        requests.iter().map(|request| request.trace.as_ref().and_then(|trace| trace.caller.as_ref())).collect();
    for (index, state) in [None, None, Some("a=1,b=2"), Some("a=1,b=2")].into_iter().enumerate() {
        let caller = callers[index].expect("it came with one");
        assert_eq!((caller.span_id.to_string().as_str(), caller.sampled), ("b7ad6b7169203331", true));
        assert_eq!(caller.state.as_deref(), state);
    }
    assert!(requests[4..].iter().all(|request| request.trace.is_none()));
}

#[test]
fn a_seed_gives_every_request_its_ids() {
    let seeded = TraceSettings { seed: Some(1), ..settings() };
    let once = requests(&[PARENT, "", ""], seeded.clone());
    assert_eq!(once, requests(&[PARENT, "", ""], seeded));
    let ids: std::collections::HashSet<_> =
        once.iter().map(|request| request.trace.as_ref().map(|trace| trace.trace_id)).collect();
    assert!(ids.len() == 3 && !ids.contains(&None));
    assert_eq!(once[0].trace.as_ref().map(|trace| trace.trace_id.to_string()).as_deref(), Some(&PARENT[16..48]));
}

#[test]
fn it_can_be_switched_off() {
    let off = TraceSettings { track_request_headers: false, ..settings() };
    assert_eq!(requests(&[PARENT], off.clone())[0].trace, None);
    let seeded = requests(&[PARENT], TraceSettings { seed: Some(1), ..off });
    assert_eq!(seeded[0].trace.as_ref().map(|trace| trace.caller.is_some()), Some(false));
}

#[test]
fn what_ends_is_handed_out_once_and_is_what_is_kept() {
    let mut events = EventBuilder::with_connection();
    events.receive(1, GET).send(1, OK).receive(1, GET);
    for max_requests in [0, 1, 2] {
        let settings = TraceSettings { export: true, max_requests, ..settings() };
        let mut trace = trace_of(&events, settings);
        let mut taken = Vec::new();
        trace.take_finished(|finished| taken.push(request_of(finished)));
        assert_eq!(taken.len(), 1);
        trace.close(events.now);
        trace.take_finished(|finished| taken.push(request_of(finished)));
        assert_eq!(
            taken.iter().map(|request| request.outcome).collect::<Vec<_>>(),
            [Outcome::Complete, Outcome::StillOpen]
        );
        let summary = trace.finish(events.now);
        assert_eq!((summary.totals.requests, summary.requests.len()), (2, max_requests));
        assert!(summary.requests.iter().all(|kept| taken.iter().any(|taken| Arc::ptr_eq(kept, taken))));
    }
}

#[test]
fn without_export_nothing_is_held_and_with_it_no_more_than_there_is_room_for() {
    let mut events = EventBuilder::with_connection();
    for _ in 0..70_000 {
        events.receive(1, GET).send(1, OK);
    }
    let mut trace = trace_of(&events, settings());
    trace.take_finished(|request| unreachable!("{request:?}"));
    let mut trace = trace_of(&events, TraceSettings { export: true, max_requests: 10, ..settings() });
    let mut taken = 0;
    trace.take_finished(|_| taken += 1);
    assert!(taken > 0);
    assert_eq!(taken + trace.finished_dropped().requests, 70_000);
    assert_eq!(trace.finish(events.now).totals.requests, 70_000);
}
