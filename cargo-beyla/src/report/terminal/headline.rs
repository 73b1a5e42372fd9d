//! The first lines: how much there was, and how it went.

use crate::report::colors::{Paint, TextStyle};
use crate::report::run_info::{Exit, Traced};
use crate::report::run_report::RunReport;
use crate::report::text;
use crate::report::units::{count, counted, duration, rate};
use cargo_beyla_core::model::connection::Endpoint;
use cargo_beyla_core::model::summary::Summary;
use cargo_beyla_core::model::test::{TestResult, TestSummary};

/// Counts and rate, then what it was that ran.
pub(super) fn headline(report: &RunReport, paint: Paint) -> String {
    let RunReport { run, duration_ns, exit, summary, .. } = report;
    let duration_ns = *duration_ns;
    let totals = &summary.totals;
    let tests = matches!(run.traced, Traced::Tests { .. });
    let mut lines = if totals.requests == 0 {
        let of = if tests { format!("{}, ", counted(summary.tests.len() as u64, "test")) } else { String::new() };
        let none = format!("No requests in {of}{}:", duration(duration_ns));
        format!("{} {}\n", paint.paint(TextStyle::Strong, none), why_none(summary, tests, exit.is_some()))
    } else {
        let requests = counted(totals.requests, "request");
        let requests = if tests {
            let with = summary.tests.iter().filter(|test| test.requests > 0).count() as u64;
            let all = counted(summary.tests.len() as u64, "test");
            format!("{requests} in {} of {all}, {}", count(with), duration(duration_ns))
        } else {
            format!("{requests} in {} ({})", duration(duration_ns), rate(totals.requests, duration_ns))
        };
        let mut parts = vec![paint.paint(TextStyle::Strong, requests)];
        parts.push(match totals.errors {
            0 => "no errors".into(),
            errors => paint.paint(TextStyle::Error, counted(errors, "error")),
        });
        if totals.incomplete > 0 {
            let incomplete = format!("{} incomplete", count(totals.incomplete));
            parts.push(paint.paint(TextStyle::Warning, incomplete));
        }
        parts.push(counted(totals.connections, "connection"));
        match report.outbound_calls() {
            0 => {}
            calls => parts.push(counted(calls, "outbound call")),
        }
        parts.join(", ") + "\n"
    };
    let mut ran = text::escape(&run.name()).into_owned();
    match run.pid() {
        Some(pid) => {
            ran.extend([", pid ", &pid.to_string()]);
            if !summary.listening.is_empty() {
                ran.extend([", on ", &listening(&summary.listening)]);
            }
        }
        None => ran.push_str(&results(report)),
    }
    lines.push_str(&paint.paint(TextStyle::Faint, ran));
    lines.push('\n');
    if let Some(ending) = exit.and_then(unusual_ending) {
        lines.push_str(&paint.paint(TextStyle::Error, ending));
        lines.push('\n');
    }
    lines
}

/// `, 12 passed, 1 failed`, and in how many rounds.
fn results(report: &RunReport) -> String {
    let tests = &report.summary.tests;
    let mut said = String::new();
    let labels = ["passed", "failed", "killed", "timed out", "not ended"];
    for label in labels {
        let of_label = |test: &&TestSummary| test.result.map_or("not ended", TestResult::label) == label;
        let number = tests.iter().filter(of_label).count() as u64;
        if number > 0 {
            said.extend([", ", &count(number), " ", label]);
        }
    }
    if report.is_repeated() {
        said.extend([", in ", &counted(report.rounds(), "round")]);
    }
    said
}

/// The likeliest reason why there were no requests; of a server that `has_ended`, nothing is said of the time since.
fn why_none(summary: &Summary, tests: bool, has_ended: bool) -> String {
    let connections = summary.totals.connections;
    let unseen = &summary.unseen;
    let of_them = |number: u64| match (number, connections) {
        (1, 1) => "its only connection".to_owned(),
        (number, all) if number == all => format!("all {} connections", count(all)),
        (number, all) => format!("{} of {}", count(number), counted(all, "connection")),
    };
    if unseen.tls_connections > 0 {
        format!("{} spoke TLS", of_them(unseen.tls_connections))
    } else if unseen.io_urings > 0 {
        "the server uses io_uring".into()
    } else if unseen.lost_records > 0 || unseen.untracked_connections > 0 {
        "too much was lost".into()
    } else if unseen.unreadable_connections > 0 {
        format!("{} spoke no HTTP/1", of_them(unseen.unreadable_connections))
    } else if connections > 0 {
        format!("{} carried none", of_them(connections))
    } else if tests && summary.tests.is_empty() {
        "there was no test to run".into()
    } else if tests {
        "no server of this workspace was connected to".into()
    } else if summary.listening.is_empty() {
        "the server never listened".into()
    } else {
        let until = if has_ended { " before it ended" } else { "" };
        let mut reason = format!("nothing connected to the server{until}");
        let tcp = summary.listening.iter().find_map(|endpoint| match endpoint {
            Endpoint::Tcp(address) => Some(address),
            Endpoint::Unix(_) => None,
        });
        if let Some(address) = tcp {
            // A wildcard address is reached through the loopback.
            let host = if address.ip().is_unspecified() {
                format!("localhost:{}", address.port())
            } else {
                address.to_string()
            };
            reason = format!("{reason}; try `curl http://{host}/` while it runs");
        }
        reason
    }
}

fn listening(endpoints: &[Endpoint]) -> String {
    let names: Vec<String> =
        endpoints.iter().map(|endpoint| text::escape(&endpoint.to_string()).into_owned()).collect();
    names.join(", ")
}

/// How the server ended, unless it did as servers do: by itself without a complaint, or because it
/// was asked to.
fn unusual_ending(exit: Exit) -> Option<String> {
    match exit {
        Exit::Code(0) => None,
        Exit::Code(code) => Some(format!("The server ended with exit code {code}")),
        Exit::Signal(number) => {
            let signal = nix::sys::signal::Signal::try_from(number).ok();
            if matches!(signal.map(|signal| signal as i32), Some(libc::SIGINT | libc::SIGTERM)) {
                return None;
            }
            let name = signal.map_or(String::new(), |signal| format!(" ({signal})"));
            Some(format!("The server was ended by signal {number}{name}"))
        }
    }
}
