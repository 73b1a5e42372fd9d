//! What exporting costs: traced with it and without it, in alternation.

use beyla_tests::receiver::{Mode, Receiver};

use crate::load::micros_of_each;
use crate::table::Table;
use crate::traced::{self, Traced};
use crate::{Options, median};

/// How the collector fares.
#[derive(Clone, Copy)]
pub(crate) enum Collector {
    /// It takes what comes.
    Healthy,
    /// Nobody listens.
    Dead,
    /// It accepts and never answers.
    Silent,
    /// It answers 503.
    Overloaded,
}

impl Collector {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "healthy" => Self::Healthy,
            "dead" => Self::Dead,
            "silent" => Self::Silent,
            "overloaded" => Self::Overloaded,
            other => panic!("unknown collector {other}"),
        }
    }

    fn start(self) -> Receiver {
        let receiver = Receiver::start();
        match self {
            Self::Healthy => receiver.set_mode(Mode::Forget),
            Self::Dead => receiver.kill(),
            Self::Silent => receiver.set_mode(Mode::Silent),
            Self::Overloaded => receiver.set_mode(Mode::Refuse),
        }
        receiver
    }
}

/// The collector is a thread of ours: what a healthy one takes of the CPU, the server and its load have not.
pub(crate) fn compare(collector: Collector, options: &Options) {
    let receiver = collector.start();
    let flags = ["--otlp".to_owned(), receiver.url()];
    let mut ratios = Vec::new();
    let mut table = Table::new(&[
        "without/s",
        "with/s",
        "ratio",
        "parent us without",
        "with",
        "parent MiB",
        "lost without",
        "with",
    ]);
    for _ in 0..options.pairs {
        let without = traced::run(options, options.load, &[]);
        let with = traced::run(options, options.load, &flags);
        let ratio = with.load.per_second / without.load.per_second;
        ratios.push(ratio);
        let micros = |traced: &Traced| format!("{:.2}", micros_of_each(traced.parent_cpu, traced.load.requests));
        table.row(&[
            format!("{:.0}", without.load.per_second),
            format!("{:.0}", with.load.per_second),
            format!("{ratio:.3}"),
            micros(&without),
            micros(&with),
            format!("{:.1}", with.parent_peak_kib as f64 / 1024.0),
            without.lost.to_string(),
            with.lost.to_string(),
        ]);
    }
    println!("Throughput traced without export and with it, and CPU time a request of the tool\n\n{table}");
    println!("median ratio {:.3}", median(ratios));
}
