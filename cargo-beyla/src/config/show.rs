//! What `--show-config` prints: each setting, and where it comes from.

use super::export::{OtlpEndpoint, TlsFiles};
use super::percent::Percent;
use super::routes::{IgnoreMode, Unmatched};
use super::secret::{masked_command, masked_url};
use super::settings::Settings;
use super::source::Setting;
use super::values::{LOG_LEVELS, TracePrinter, word};
use cargo_beyla_core::analysis::budget::definition::Budget;

/// What stands where nothing is set.
const NOTHING: &str = "-";
/// The longest value that pushes the sources to the right, in characters.
const ALIGNED_MAX: usize = 60;

/// The settings, a line each.
pub fn show(settings: &Settings) -> String {
    let mut lines = Lines(Vec::new());
    report(settings, &mut lines);
    service(settings, &mut lines);
    export(settings, &mut lines);
    lines.aligned()
}

fn report(settings: &Settings, lines: &mut Lines) {
    lines.set("slowest", &settings.slowest, usize::to_string);
    lines.set("max_requests", &settings.max_requests, usize::to_string);
    lines.set("explain", &settings.explain, |explain| explain.word().to_owned());
    lines.set("overhead_budget", &settings.overhead_budget, Percent::to_string);
    lines.set("tls", &settings.tls, bool::to_string);
    lines.set("block_threshold", &settings.block_threshold, |time| format!("{time:?}"));
    lines.set("listen_timeout", &settings.listen_timeout, |time| format!("{time:?}"));
    lines.maybe("duration", settings.duration.as_ref(), |time| format!("{time:?}"));
    lines.maybe("exec", settings.exec.as_ref(), |command| masked_command(&command.to_string_lossy()).to_owned());
    lines.set("routes.patterns", &settings.routes.patterns, |patterns| listed(patterns));
    lines.maybe("routes.ignored_patterns", settings.routes.ignored_patterns.as_ref(), |patterns| listed(patterns));
    lines.set("routes.ignore_mode", &settings.routes.ignore_mode, |mode| word(IgnoreMode::WORDS, mode).to_owned());
    lines.set("routes.unmatched", &settings.routes.unmatched, |mode| word(Unmatched::WORDS, mode).to_owned());
    match &settings.budgets[..] {
        [] => lines.maybe("budgets", None::<&Setting<()>>, |()| String::new()),
        budgets => budgets.iter().for_each(|budget| lines.set("budgets", budget, Budget::label)),
    }
    match &settings.test_groups[..] {
        [] => lines.maybe("test_groups", None::<&Setting<()>>, |()| String::new()),
        groups => groups.iter().for_each(|group| lines.set("test_groups", group, ToString::to_string)),
    }
    lines.set("trace_printer", &settings.trace_printer, |printer| word(TracePrinter::WORDS, printer).to_owned());
    lines.set("log_level", &settings.log_level, |level| word(LOG_LEVELS, level).to_owned());
}

fn service(settings: &Settings, lines: &mut Lines) {
    lines.maybe("open_port", settings.open_port.as_ref(), ToString::to_string);
    lines.maybe("executable_name", settings.executable_name.as_ref(), ToString::to_string);
    let binary = Setting::default_of("the binary's name".to_owned());
    lines.set("service_name", settings.service_name.as_ref().unwrap_or(&binary), Clone::clone);
    lines.maybe("service_namespace", settings.service_namespace.as_ref(), Clone::clone);
    lines.maybe("resource_attributes", settings.resource_attributes.as_ref(), |attributes| {
        listed(&attributes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>())
    });
    lines.set("ebpf.track_request_headers", &settings.track_request_headers, bool::to_string);
    lines.maybe("filter.application", settings.filters.as_ref(), |filters| {
        let names: Vec<_> = filters.iter().map(|filter| filter.attribute.clone()).collect();
        listed(&names)
    });
    lines.maybe("attributes.select", settings.attributes.as_ref(), |selections| {
        let names: Vec<_> = selections.iter().map(|selection| selection.metric.clone()).collect();
        listed(&names)
    });
}

fn export(settings: &Settings, lines: &mut Lines) {
    otlp("traces", settings.traces.as_ref().map(|traces| &traces.otlp), lines);
    if let Some(traces) = &settings.traces {
        lines.set("traces.sampler", &traces.sampler, ToString::to_string);
    }
    otlp("metrics", settings.metrics.as_ref().map(|metrics| &metrics.otlp), lines);
    if let Some(metrics) = &settings.metrics {
        lines.set("metrics.interval", &metrics.interval, |time| format!("{time:?}"));
    }
    lines.maybe("prometheus.address", settings.prometheus.as_ref().map(|it| &it.address), ToString::to_string);
    if let Some(prometheus) = &settings.prometheus {
        lines.set("prometheus.path", &prometheus.path, Clone::clone);
    }
}

fn otlp(signal: &str, otlp: Option<&OtlpEndpoint>, lines: &mut Lines) {
    lines.maybe(&format!("{signal}.endpoint"), otlp.map(|otlp| &otlp.endpoint), |url| masked_url(url));
    let Some(OtlpEndpoint { endpoint: _, protocol, headers, timeout, compression, tls, proxy }) = otlp else { return };
    let TlsFiles { certificate, client_certificate, client_key } = tls;
    lines.set(&format!("{signal}.protocol"), protocol, ToString::to_string);
    for (name, value) in headers {
        lines.set(&format!("{signal}.headers.{name}"), value, ToString::to_string);
    }
    lines.set(&format!("{signal}.timeout"), timeout, |time| format!("{time:?}"));
    lines.set(&format!("{signal}.compression"), compression, ToString::to_string);
    for (name, file) in
        [("certificate", certificate), ("client_certificate", client_certificate), ("client_key", client_key)]
    {
        lines.maybe(&format!("{signal}.{name}"), file.as_ref(), |path| path.display().to_string());
    }
    lines.maybe(&format!("{signal}.proxy"), proxy.as_ref(), |proxy| proxy.uri.to_string());
}

fn listed(values: &[String]) -> String {
    if values.is_empty() { NOTHING.to_owned() } else { values.join(", ") }
}

struct Lines(Vec<[String; 3]>);

impl Lines {
    fn set<T>(&mut self, name: &str, setting: &Setting<T>, text: impl FnOnce(&T) -> String) {
        // A line stays a line, whatever is in it.
        let value = text(&setting.value).replace('\n', "\\n").chars().filter(|c| !c.is_control()).collect();
        self.0.push([name.to_owned(), value, setting.source.to_string()]);
    }

    fn maybe<T>(&mut self, name: &str, setting: Option<&Setting<T>>, text: impl FnOnce(&T) -> String) {
        match setting {
            Some(setting) => self.set(name, setting, text),
            None => self.0.push([name.to_owned(), NOTHING.to_owned(), "default".to_owned()]),
        }
    }

    fn aligned(self) -> String {
        let width = |column: usize| {
            let widths = self.0.iter().map(|line| line[column].chars().count());
            widths.filter(|width| *width <= ALIGNED_MAX).max().unwrap_or(0)
        };
        let (names, values) = (width(0), width(1));
        let lines = self.0.iter().map(|[name, value, source]| format!("{name:names$}  {value:values$}  {source}\n"));
        lines.collect()
    }
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
