//! Which of the flags are settings: the configuration puts them before the environment and the files.

use super::options::{ExportOptions, ReportOptions, RunControl};
use super::test::TestArguments;
use super::{AttachArguments, ReportArguments, RunArguments};
use crate::config::flags::{ExportFlags, Flags};

impl RunArguments {
    /// Those that are settings.
    pub fn settings(&self) -> Flags {
        let Self { run, verdict, report, export, explain, no_tls, .. } = self;
        let RunControl { exec, duration, listen_timeout } = run;
        Flags {
            explain: *explain,
            no_tls: *no_tls,
            budgets: verdict.budgets.clone(),
            exec: exec.clone(),
            duration: *duration,
            listen_timeout: *listen_timeout,
            ..exporting(report, export)
        }
    }
}

impl AttachArguments {
    /// Those that are settings.
    pub fn settings(&self) -> Flags {
        let Self { server: _, exec, duration, report, export, explain, no_tls, record: _, capture: _ } = self;
        Flags {
            explain: *explain,
            no_tls: *no_tls,
            exec: exec.clone(),
            duration: *duration,
            ..exporting(report, export)
        }
    }
}

impl TestArguments {
    /// Those that are settings.
    pub fn settings(&self) -> Flags {
        let Self { verdict, report, explain, no_tls, export, .. } = self;
        Flags { explain: *explain, no_tls: *no_tls, budgets: verdict.budgets.clone(), ..exporting(report, export) }
    }
}

impl ReportArguments {
    /// Those that are settings.
    pub fn settings(&self) -> Flags {
        let Self { file: _, config, report } = self;
        Flags { config: config.clone(), ..reporting(report) }
    }
}

fn exporting(report: &ReportOptions, export: &ExportOptions) -> Flags {
    let ExportOptions { jaeger, otlp, otlp_protocol, otlp_headers, prometheus, config, show_config: _, service_name } =
        export;
    let export = ExportFlags {
        jaeger: jaeger.clone(),
        otlp: otlp.clone(),
        otlp_protocol: *otlp_protocol,
        otlp_headers: otlp_headers.clone(),
        prometheus: prometheus.clone(),
        service_name: service_name.clone(),
    };
    Flags { config: config.clone(), export, ..reporting(report) }
}

fn reporting(report: &ReportOptions) -> Flags {
    let ReportOptions { slowest, json: _, html: _, open: _, routes, max_requests, block_threshold, overhead_budget } =
        report;
    Flags {
        slowest: *slowest,
        routes: routes.clone(),
        max_requests: *max_requests,
        block_threshold: *block_threshold,
        overhead_budget: *overhead_budget,
        ..Flags::default()
    }
}
