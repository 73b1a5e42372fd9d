//! What tracing costs: `basic` in release under Debian's wrk, untraced and traced in alternation. With `--http2` it is
//! `latency_lab` under h2load, with 20,000 requests for each of `--seconds`, 4 connections and 32 streams on each. With
//! `--query` it is `orders` under wrk, whose handler asks PostgreSQL.
//!
//!     cargo bench -p beyla-tests --bench overhead -- [--seconds 5] [--pairs 5] [--capture auto|socket|syscalls]
//!         [--http2|--query] [--explain] [--export healthy|dead|silent|overloaded]
//!
//! With `--explain` the traced side opens its handlers; what that adds is the difference to a run without. With
//! `--export` both sides are traced, and one exports traces and metrics by OTLP to a collector that fares like this.
//! Needs root (or sudo without a password) and `apt-get install wrk nghttp2-client`.

mod bpf_statistics;
mod export;
mod load;
mod table;
mod traced;

use std::time::Duration;

use beyla_tests::called::postgres::Postgres;
use beyla_tests::run::Capture;
use beyla_tests::tool;

use export::Collector;
use load::{Load, Scenario, micros_of_each};
use table::Table;
use traced::Traced;

struct Options {
    scenario: Scenario,
    load: Duration,
    pairs: usize,
    capture: Capture,
    explain: bool,
    export: Option<Collector>,
}

fn main() {
    let options = options(std::env::args().skip(1));
    let (load, pairs) = (options.load, options.pairs);
    let scenario = &options.scenario;
    let server = tool::build(scenario.server().package, scenario.server().bin);
    // The first run of all pays for cold caches.
    load::untraced(scenario, &server, Duration::from_secs(1));
    traced::run(&options, Duration::from_secs(1), &[]);
    if let Some(collector) = options.export {
        export::compare(collector, &options);
        return;
    }

    let mut ratios = Vec::new();
    let mut pairs_table = Table::new(&["untraced/s", "traced/s", "ratio", "helper us", "parent us", "parent MiB"]);
    let mut counts_table = Table::new(&["sent", "seen", "in flight", "lost"]);
    for _ in 0..pairs {
        let plain = load::untraced(scenario, &server, load);
        let traced = traced::run(&options, load, &[]);
        ratios.push(traced.load.per_second / plain.per_second);
        pairs_table.row(&cost_row(&plain, &traced));
        counts_table.row(&count_row(&traced));
    }

    let mut bpf = Vec::new();
    let mut bpf_table = Table::new(&["traced/s", "BPF runs/request", "BPF us/request"]);
    for _ in 0..pairs {
        // Counting costs as well, so these runs are their own.
        let _counting = bpf_statistics::enable();
        let traced = traced::run(&options, load, &[]);
        let requests = traced.load.requests as f64;
        let (runs, micros) = (traced.bpf_runs as f64 / requests, traced.bpf_ns as f64 / 1e3 / requests);
        bpf.push(micros);
        bpf_table.row(&[format!("{:.0}", traced.load.per_second), format!("{runs:.2}"), format!("{micros:.3}")]);
        counts_table.row(&count_row(&traced));
    }

    println!("Throughput, and CPU time a request of the tool's two processes\n\n{pairs_table}");
    println!("BPF run time a request (kernel.bpf_stats_enabled=1)\n\n{bpf_table}");
    println!("Requests of all traced runs\n\n{counts_table}");
    println!("median ratio {:.3}, median BPF time {:.3} us a request", median(ratios), median(bpf));
}

fn cost_row(plain: &Load, traced: &Traced) -> [String; 6] {
    let micros = |time: Duration| format!("{:.2}", micros_of_each(time, traced.load.requests));
    [
        format!("{:.0}", plain.per_second),
        format!("{:.0}", traced.load.per_second),
        format!("{:.3}", traced.load.per_second / plain.per_second),
        micros(traced.helper_cpu),
        micros(traced.parent_cpu),
        format!("{:.1}", traced.parent_peak_kib as f64 / 1024.0),
    ]
}

fn count_row(traced: &Traced) -> [String; 4] {
    let (sent, seen) = (traced.load.requests, traced.seen);
    [sent.to_string(), seen.to_string(), (i128::from(seen) - i128::from(sent)).to_string(), traced.lost.to_string()]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Options {
    let mut options = Options {
        scenario: Scenario::Http1,
        load: Duration::from_secs(5),
        pairs: 5,
        capture: Capture::Auto,
        explain: false,
        export: None,
    };
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().expect("a value after the flag");
        match flag.as_str() {
            "--seconds" => options.load = Duration::from_secs(value().parse().expect("a number of seconds")),
            "--pairs" => options.pairs = value().parse().expect("a number of pairs"),
            "--capture" => {
                options.capture = match value().as_str() {
                    "auto" => Capture::Auto,
                    "socket" => Capture::Socket,
                    "syscalls" => Capture::Syscalls,
                    other => panic!("unknown way of capture {other}"),
                }
            }
            "--http2" => options.scenario = Scenario::Http2,
            "--query" => options.scenario = Scenario::Query(Postgres::start_quiet()),
            "--explain" => options.explain = true,
            "--export" => options.export = Some(Collector::named(&value())),
            // Cargo says so to every benchmark.
            "--bench" => {}
            other => panic!("unknown flag {other}"),
        }
    }
    options
}
