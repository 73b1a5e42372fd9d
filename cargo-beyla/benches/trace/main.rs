//! What decoding and tracing costs a request: `cargo bench -p cargo-beyla --bench trace [-- LOAD]`.
//!
//! Records of a server under load are made in memory and replayed; only the replay is timed. The
//! parent process runs beside the traced server, so this is time that the server loses.

mod load;

use std::time::Duration;

use cargo_beyla_core::event::Event;
use cargo_beyla_core::exchange::route::RouteTable;
use cargo_beyla_core::trace::{Trace, TraceSettings};

use load::{Load, Shape};
use nix::time::{ClockId, clock_gettime};

const REQUESTS: u64 = 1_000_000;
const KEPT: usize = 100_000;

/// The least time of so many runs counts.
const REPEATS: usize = 3;

fn main() {
    // Cargo adds an option of its own.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!("{REQUESTS} requests, {KEPT} kept");
    println!("{:<40} {:>12} {:>16}", "", "ns a request", "peak memory, MB");
    for (name, shape) in [
        ("one route", Shape::default()),
        ("one route, ever slower", Shape { slowing: true, ..Shape::default() }),
        ("1,000 paths", Shape { paths: 1000, ..Shape::default() }),
        ("a path for each request", Shape { paths: u64::MAX, ..Shape::default() }),
        ("one route, a trace id for each request", Shape { trace_ids: true, ..Shape::default() }),
        ("one route, with --explain", Shape { explain: true, ..Shape::default() }),
        ("a connection for each request", Shape { keep_alive: false, ..Shape::default() }),
    ] {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        reset_peak_memory();
        let spent = (0..REPEATS).map(|_| replay(shape)).min().unwrap_or_default();
        let peak = peak_memory_kb() as f64 / 1024.0;
        println!("{name:<40} {:>12.0} {peak:>16.0}", spent.as_nanos() as f64 / REQUESTS as f64);
    }
}

/// What one run costs.
fn replay(shape: Shape) -> Duration {
    let routes = RouteTable::new(&[]).expect("no patterns");
    let mut trace = Trace::new(TraceSettings::new(routes, KEPT));
    let mut load = Load::new(shape);
    let mut spent = Duration::ZERO;
    while load.requests() < REQUESTS {
        let mut records = load.next_batch();
        let begun = cpu_time();
        while let Some((event, size)) = Event::decode(records).expect("records") {
            trace.record(&event);
            records = &records[size..];
        }
        spent += cpu_time().saturating_sub(begun);
    }
    let summary = trace.finish(load.now_ns());
    assert_eq!((summary.totals.requests, summary.totals.incomplete), (load.requests(), 0));
    assert_eq!(summary.requests.len(), KEPT);
    spent
}

/// Not that of other processes on the machine.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the clock of this thread").into()
}

/// Where the kernel does not let us, peaks are those of all loads so far.
fn reset_peak_memory() {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
