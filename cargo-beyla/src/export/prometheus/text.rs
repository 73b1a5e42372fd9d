//! Metrics as text: `OpenMetrics` 1.0, and the older format of Prometheus.
//!
//! Names of metrics are translated as the OpenTelemetry specification has it: dots become underscores, the unit
//! follows, then `_total` where a value only grows. The crates that write this text count by themselves,
//! which would be done twice then, and have either exemplars or the older format, not both.

use std::fmt::{self, Write};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, HistogramDataPoint, Metric, NumberDataPoint, exemplar};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::labels::Labels;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The one that a scraper asks for.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        let newer = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        if newer { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes the metrics, and what they are of.
pub(super) fn text(resource: &Resource, metrics: &[Metric], format: Format) -> String {
    let mut text = Text { out: String::new(), format };
    // A String takes whatever there is memory for.
    let _ = text.write(resource, metrics);
    text.out
}

struct Text {
    out: String,
    format: Format,
}

/// The type of a metric, in the words of both formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Text {
    fn write(&mut self, resource: &Resource, metrics: &[Metric]) -> fmt::Result {
        self.out.write_str(match self.format {
            Format::Prometheus => "# HELP target_info Target metadata\n# TYPE target_info gauge\n",
            Format::OpenMetrics => "# TYPE target info\n# HELP target Target metadata\n",
        })?;
        self.out.write_str("target_info")?;
        Labels::of(&resource.attributes).write(&mut self.out, None)?;
        self.out.write_str(" 1\n")?;
        for metric in metrics {
            self.metric(metric)?;
        }
        match self.format {
            Format::Prometheus => Ok(()),
            Format::OpenMetrics => self.out.write_str("# EOF\n"),
        }
    }

    fn metric(&mut self, metric: &Metric) -> fmt::Result {
        let unit = match metric.unit.as_str() {
            "s" => "seconds",
            "By" => "bytes",
            other => other,
        };
        let name = format!("{}_{unit}", underscored(&metric.name));
        match &metric.data {
            Some(Data::Histogram(histogram)) => {
                self.head(&name, unit, &metric.description, Kind::Histogram)?;
                histogram.data_points.iter().try_for_each(|point| self.histogram(&name, point))
            }
            Some(Data::Sum(sum)) => {
                let kind = if sum.is_monotonic { Kind::Counter } else { Kind::Gauge };
                self.head(&name, unit, &metric.description, kind)?;
                sum.data_points.iter().try_for_each(|point| self.number(&name, kind, point))
            }
            // There are none.
            _ => Ok(()),
        }
    }

    fn head(&mut self, name: &str, unit: &str, description: &str, kind: Kind) -> fmt::Result {
        let label = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // In the older format a counter's name is that of its samples.
        let total = if kind == Kind::Counter && self.format == Format::Prometheus { "_total" } else { "" };
        writeln!(self.out, "# TYPE {name}{total} {label}")?;
        if self.format == Format::OpenMetrics {
            writeln!(self.out, "# UNIT {name} {unit}")?;
        }
        writeln!(self.out, "# HELP {name}{total} {description}")
    }

    fn number(&mut self, name: &str, kind: Kind, point: &NumberDataPoint) -> fmt::Result {
        let total = if kind == Kind::Counter { "_total" } else { "" };
        write!(self.out, "{name}{total}")?;
        Labels::of(&point.attributes).write(&mut self.out, None)?;
        match point.value {
            Some(Value::AsDouble(value)) => writeln!(self.out, " {value:?}"),
            Some(Value::AsInt(value)) => writeln!(self.out, " {value}"),
            None => writeln!(self.out, " NaN"),
        }
    }

    fn histogram(&mut self, name: &str, point: &HistogramDataPoint) -> fmt::Result {
        let labels = Labels::of(&point.attributes);
        let mut count = 0;
        let mut from = f64::NEG_INFINITY;
        let bounds = point.explicit_bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, in_bucket) in bounds.zip(&point.bucket_counts) {
            count += in_bucket;
            write!(self.out, "{name}_bucket")?;
            let le = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
            labels.write(&mut self.out, Some(&le))?;
            write!(self.out, " {count}")?;
            if self.format == Format::OpenMetrics {
                let within = |exemplar: &&Exemplar| value(exemplar) > from && value(exemplar) <= bound;
                point.exemplars.iter().find(within).map_or(Ok(()), |exemplar| self.exemplar(exemplar))?;
            }
            self.out.write_str("\n")?;
            from = bound;
        }
        for (suffix, value) in [("_sum", format!("{:?}", point.sum.unwrap_or_default())), ("_count", count.to_string())]
        {
            write!(self.out, "{name}{suffix}")?;
            labels.write(&mut self.out, None)?;
            writeln!(self.out, " {value}")?;
        }
        Ok(())
    }

    fn exemplar(&mut self, exemplar: &Exemplar) -> fmt::Result {
        self.out.write_str(" # {trace_id=\"")?;
        hex(&mut self.out, &exemplar.trace_id)?;
        self.out.write_str("\",span_id=\"")?;
        hex(&mut self.out, &exemplar.span_id)?;
        let seconds = exemplar.time_unix_nano as f64 / 1e9;
        write!(self.out, "\"}} {:?} {seconds:.3}", value(exemplar))
    }
}

fn value(exemplar: &Exemplar) -> f64 {
    match exemplar.value {
        Some(exemplar::Value::AsDouble(value)) => value,
        Some(exemplar::Value::AsInt(value)) => value as f64,
        None => f64::NAN,
    }
}

fn underscored(name: &str) -> String {
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

fn hex(out: &mut String, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::key_value;
    use crate::export::metrics::store::Store;
    use crate::report::fixtures;
    use cargo_beyla_core::model::trace_context::{SpanId, TraceContext, TraceId};

    fn written(format: Format) -> String {
        // No process has this id, so that nothing of the text depends on the machine.
        let mut store = Store::new(fixtures::run_of(u32::MAX), &[]);
        let mut request = fixtures::request(1, "/a\"b\\c");
        request.boundaries.ended = request.boundaries.start() + 7_000_000;
        request.trace = Some(
            TraceContext { trace_id: TraceId::of(0xa), span_id: SpanId::of(0xb), caller: None, test: None }.into(),
        );
        store.record(&request, true);
        let attributes = vec![key_value::text("service.name", "shop\n1")];
        text(&Resource { attributes, ..Resource::default() }, &store.metrics(5), format)
    }

    const LABELS: &str = "http_request_method=\"GET\",http_route=\"/a\\\"b\\\\c\",url_scheme=\"http\",\
        network_protocol_version=\"1.1\",http_response_status_code=\"200\"";

    #[test]
    fn names_are_those_of_the_specification() {
        let text = written(Format::Prometheus);
        for line in [
            "target_info{service_name=\"shop\\n1\"} 1".to_owned(),
            "# TYPE http_server_request_duration_seconds histogram".to_owned(),
            format!("http_server_request_duration_seconds_bucket{{{LABELS},le=\"0.005\"}} 0"),
            format!("http_server_request_duration_seconds_bucket{{{LABELS},le=\"0.01\"}} 1"),
            format!("http_server_request_duration_seconds_bucket{{{LABELS},le=\"+Inf\"}} 1"),
            format!("http_server_request_duration_seconds_sum{{{LABELS}}} 0.007"),
            format!("http_server_request_duration_seconds_count{{{LABELS}}} 1"),
            format!("http_server_response_body_size_bytes_bucket{{{LABELS},le=\"32.0\"}} 1"),
            format!("cargo_beyla_request_phase_duration_seconds_count{{{LABELS},cargo_beyla_phase=\"queue\"}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains(" # {") && !text.contains("# EOF") && !text.contains("# UNIT"));
    }

    #[test]
    fn open_metrics_has_units_examples_and_an_end() {
        let text = written(Format::OpenMetrics);
        let example = "le=\"0.01\"} 1 # {trace_id=\"0000000000000000000000000000000a\",span_id=\"000000000000000b\"} \
            0.007 1700000000.017";
        assert_eq!(text.matches(" # {").count(), 1);
        assert!(text.lines().any(|line| line.ends_with(example)), "{text}");
        assert!(text.contains("# UNIT http_server_request_duration_seconds seconds\n"));
        assert!(text.starts_with("# TYPE target info\n") && text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn a_counter_is_named_as_each_format_wants_it() {
        let mut store = Store::new(fixtures::run_of(std::process::id()), &[]);
        let metrics = store.metrics(5);
        let text = |format| super::text(&Resource::default(), &metrics, format);
        let (older, newer) = (text(Format::Prometheus), text(Format::OpenMetrics));
        assert!(older.contains("# TYPE process_cpu_time_seconds_total counter\n"));
        assert!(newer.contains("# TYPE process_cpu_time_seconds counter\n"));
        for text in [older, newer] {
            assert!(text.contains("\nprocess_cpu_time_seconds_total{cpu_mode=\"user\"} "));
            assert!(text.contains("# TYPE process_memory_usage_bytes gauge\n"));
            assert!(text.contains("\nprocess_memory_usage_bytes "));
        }
    }

    #[test]
    fn scrapers_get_what_they_ask_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        for accept in [None, Some("*/*"), Some("text/plain")] {
            assert_eq!(Format::accepted(accept), Format::Prometheus);
        }
    }
}
