//! Records of the real kernel, replayed: what the pure core makes of them is held against what the
//! client of those runs has sent and received.
//!
//! The recordings are of `latency_lab`, one for each way of capture, under one client: a request, two
//! pipelined ones, a header sent byte by byte, a chunked upload in pieces with an extension and a
//! trailer, a download of 300,000 bytes, a request that the server drops, and one that the client does.
//! An ignored test in `tests/tests/record.rs` makes them.

use std::path::Path;

use cargo_beyla::report::recording::{Ending, Recording};
use cargo_beyla_core::event::Event;
use cargo_beyla_core::exchange::route::RouteTable;
use cargo_beyla_core::model::summary::{Summary, Unseen};
use cargo_beyla_core::trace::{Trace, TraceSettings};

const ROWS: [&str; 8] = [
    "GET /fast - 200 complete 31+0 > 141+5",
    "GET /fast n=1 200 complete 35+0 > 141+5",
    "GET /fast n=2 200 complete 35+0 > 141+5",
    "GET /users/17 - 200 complete 54+0 > 160+8",
    "POST /echo - 200 complete 79+8 > 159+8",
    "GET /download bytes=300000 200 complete 67+0 > 164+300000",
    "GET /abort - - server closed 32+0 > -",
    "GET /sleep ms=200 - client closed 39+0 > -",
];

fn replay(name: &str) -> Summary {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
    let mut recording = Recording::open(&path).expect("it is a recording");
    let routes = RouteTable::new(&[]).expect("no patterns, none wrong");
    let mut trace = Trace::new(TraceSettings::new(routes, 100));
    while let Some(event) = recording.next_event().expect("it can be read") {
        assert!(!matches!(event, Event::Unknown(_)), "{event:?}");
        trace.record(&event);
    }
    assert!(matches!(recording.ending(), Some(Ending::Complete { .. })));
    trace.finish(recording.run().started_monotonic_ns + recording.duration_ns())
}

fn rows(summary: &Summary) -> Vec<String> {
    let body = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| bytes.to_string());
    let row = |request: &std::sync::Arc<cargo_beyla_core::model::request::Request>| {
        let status = request.status.map_or("-".to_owned(), |status| status.to_string());
        let response =
            request.response_bytes.map_or("-".to_owned(), |bytes| format!("{}+{}", bytes.header, body(bytes.body)));
        format!(
            "{} {} {} {status} {} {}+{} > {response}",
            request.method,
            request.path,
            request.query.as_deref().unwrap_or("-"),
            request.outcome.label(),
            request.request_bytes.header,
            body(request.request_bytes.body),
        )
    };
    summary.requests.iter().map(row).collect()
}

fn check(name: &str) {
    let summary = replay(name);
    assert_eq!(rows(&summary), ROWS);
    assert_eq!((summary.totals.requests, summary.totals.errors, summary.totals.connections), (8, 1, 6));
    assert_eq!(summary.unseen, Unseen::default());
    for request in &summary.requests {
        let phases = request.boundaries.phases();
        assert_eq!(phases.sum(), request.boundaries.total(), "{request:?}");
        assert!(phases.queue.is_some() && phases.receive.is_some() && phases.handle.is_some(), "{request:?}");
    }
    // The client waited 10 ms twice within its upload, and gave the last one up after 50 ms.
    let phases = |index: usize| summary.requests[index].boundaries.phases();
    let upload = phases(4).queue.expect("known") + phases(4).receive.expect("known");
    assert!((20_000_000..40_000_000).contains(&upload), "{:?}", phases(4));
    assert!((50_000_000..80_000_000).contains(&phases(7).sum()), "{:?}", phases(7));
}

#[test]
fn by_socket_tracepoints() {
    check("socket.beyla");
}

#[test]
fn by_system_calls() {
    check("syscalls.beyla");
}
