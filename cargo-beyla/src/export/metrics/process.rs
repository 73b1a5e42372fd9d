//! What the server takes of the machine, by procfs.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, NumberDataPoint, Sum};
use procfs::process::Process;

use super::metric::metric;
use crate::export::key_value::text;

/// A look at a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Seconds of CPU in the program.
    pub(super) user: f64,
    /// Seconds of CPU in the kernel.
    pub(super) system: f64,
    /// Bytes of memory that are in RAM.
    pub(super) memory: u64,
}

impl Usage {
    /// The metrics of it, of a run that began at `start`, in nanoseconds of Unix time, as `now`.
    pub(super) fn metrics(&self, start: u64, now: u64) -> [Metric; 2] {
        let Self { user, system, memory } = *self;
        let point = |attributes: Vec<KeyValue>, value: NumberValue| NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: now,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let of_mode = |mode: &str, seconds: f64| point(vec![text("cpu.mode", mode)], NumberValue::AsDouble(seconds));
        let cpu = Sum {
            data_points: vec![of_mode("user", user), of_mode("system", system)],
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        };
        let memory = Sum {
            data_points: vec![point(vec![], NumberValue::AsInt(memory as i64))],
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: false,
        };
        [
            metric("process.cpu.time", "s", "CPU time of the server.", Data::Sum(cpu)),
            metric("process.memory.usage", "By", "Physical memory of the server.", Data::Sum(memory)),
        ]
    }
}

/// How a process stands; `None` once it has ended.
pub(super) fn usage(pid: u32) -> Option<Usage> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    // A process that has ended and was not waited for has no memory, and its last times.
    let memory = stat.rss.saturating_mul(procfs::page_size());
    Some(Usage { user: stat.utime as f64 / ticks, system: stat.stime as f64 / ticks, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).expect("it runs");
        assert!(usage.memory > 0 && usage.user >= 0.0 && usage.system >= 0.0);
        assert_eq!(super::usage(u32::MAX), None);
    }
}
