//! Bytes of any content, as records: events are made of them, and requests of these. Nothing panics, what is decoded is
//! encoded to what decodes to the same, phases sum to the total, and the parts of `handle` sum to `handle`.
//!
//! With cargo-fuzz installed, in the root of the repository:
//!
//!     mkdir -p fuzz/corpus/records
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run records fuzz/corpus/records fuzz/seeds/records -- -max_total_time=60
#![no_main]

use cargo_beyla_core::event::Event;
use cargo_beyla_core::exchange::route::RouteTable;
use cargo_beyla_core::exchange::trace::{Trace, TraceSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let routes = RouteTable::new(&["/users/{id}".into()]).expect("a valid pattern");
    let mut trace = Trace::new(TraceSettings::new(routes, 8));
    let mut rest = bytes;
    let mut record = Vec::new();
    while let Ok(Some((event, size))) = Event::decode(rest) {
        record.clear();
        event.encode(&mut record);
        assert_eq!(Event::decode(&record), Ok(Some((event.clone(), record.len()))));
        trace.record(&event);
        rest = &rest[size..];
    }
    trace.live(u64::MAX);
    let summary = trace.finish(bytes.len() as u64);
    let totals = summary.totals;
    assert_eq!(totals.requests, summary.requests.len() as u64 + totals.requests_not_kept);
    assert_eq!(totals.requests, summary.routes.iter().map(|route| route.count).sum::<u64>());
    for request in &summary.requests {
        let boundaries = &request.boundaries;
        assert_eq!(boundaries.phases().sum(), boundaries.total(), "{request:?}");
        if let Some(explanation) = &request.explanation {
            assert_eq!(Some(explanation.parts.sum()), boundaries.phases().handle, "{request:?}");
        }
        let moments = [
            boundaries.arrived,
            Some(boundaries.read),
            boundaries.received,
            boundaries.responded,
            Some(boundaries.ended),
        ];
        assert!(moments.iter().flatten().is_sorted(), "{request:?}");
    }
});
