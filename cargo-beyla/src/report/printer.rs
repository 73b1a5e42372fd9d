//! Requests as they end, each in the form that `trace_printer` asks for.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::json;
use super::run_info::RunInfo;
use super::text::{escape, is_unfit};
use super::units::time;
use crate::config::values::TracePrinter;
use cargo_beyla_core::model::request::{Outcome, Request};

/// Prints requests one by one.
#[derive(Debug)]
pub struct Printer {
    form: Form,
    run: RunInfo,
    printed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Counter,
    Text,
    Json { indent: bool },
}

impl Printer {
    /// `None` if nothing is to be printed.
    pub fn new(form: TracePrinter, run: &RunInfo) -> Option<Self> {
        let form = match form {
            TracePrinter::Disabled => return None,
            TracePrinter::Counter => Form::Counter,
            TracePrinter::Text => Form::Text,
            TracePrinter::Json => Form::Json { indent: false },
            TracePrinter::JsonIndent => Form::Json { indent: true },
        };
        Some(Self { form, run: run.clone(), printed: 0 })
    }

    /// Appends a request, and a newline.
    pub fn print(&mut self, request: &Request, out: &mut String) {
        self.printed += 1;
        // A String takes whatever there is memory for.
        let _ = match self.form {
            Form::Counter => writeln!(out, "{}", self.printed),
            Form::Text => text(request, &self.run, out),
            Form::Json { indent } => match json::of_request(request, &self.run, indent) {
                Ok(json) => writeln!(out, "{}", fit(&json)),
                Err(_) => Ok(()),
            },
        };
    }
}

/// As in `2023-11-14 22:13:20.010000 (100 µs[88.0 µs]) HTTP 200 GET /users/7(/users/{id})
/// [127.0.0.1:50000]->[127.0.0.1:8080] contentLen:0B responseLen:28B`: when it began, how long it took, and
/// how long since the server read it.
fn text(request: &Request, run: &RunInfo, out: &mut String) -> fmt::Result {
    let boundaries = &request.boundaries;
    let total = time(boundaries.total());
    let processing = time(boundaries.ended.saturating_sub(boundaries.read));
    date(run.unix_ns(boundaries.start()), out)?;
    write!(out, " ({total}[{processing}]) HTTP ")?;
    match request.status {
        Some(status) => write!(out, "{status}")?,
        None => out.write_char('-')?,
    }
    write!(out, " {} {}({})", escape(&request.method), escape(&request.path), escape(&request.route))?;
    let connection = &request.connection;
    let [client, server] = [&connection.client, &connection.server].map(ToString::to_string);
    write!(out, " [{}]->[{}]", escape(&client), escape(&server))?;
    if let Some(body) = request.request_bytes.body {
        write!(out, " contentLen:{body}B")?;
    }
    if let Some(body) = request.response_bytes.and_then(|bytes| bytes.body) {
        write!(out, " responseLen:{body}B")?;
    }
    if let Some(trace) = &request.trace {
        write!(out, " trace={} span={}", trace.trace_id, trace.span_id)?;
    }
    if request.outcome != Outcome::Complete {
        write!(out, " {}", request.outcome.label())?;
    }
    writeln!(out)
}

/// JSON with those characters escaped that could steer a terminal and that JSON may have as they are.
fn fit(json: &str) -> Cow<'_, str> {
    let unfit = |character: char| !character.is_ascii() && is_unfit(character);
    if !json.contains(unfit) {
        return Cow::Borrowed(json);
    }
    let mut fit = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if unfit(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A String takes whatever there is memory for.
                let _ = write!(fit, "\\u{unit:04x}");
            }
        } else {
            fit.push(character);
        }
    }
    Cow::Owned(fit)
}

/// In UTC, by the civil calendar, to the microsecond.
fn date(unix_ns: u64, out: &mut String) -> fmt::Result {
    let (seconds, micros) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000 / 1000);
    // Eras of 400 years that begin on the first of March, the year 0's 719,468 days before 1970.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    fn printed(form: TracePrinter, requests: &[Request]) -> String {
        let mut printer = Printer::new(form, &fixtures::run()).expect("a form");
        let mut out = String::new();
        for request in requests {
            printer.print(request, &mut out);
        }
        out
    }

    #[test]
    fn a_line_says_what_beylas_says() {
        let request = Request { route: "/users/{id}".into(), ..fixtures::request(1, "/users/7") };
        assert_eq!(
            printed(TracePrinter::Text, &[request]),
            "2023-11-14 22:13:20.010000 (100 µs[88.0 µs]) HTTP 200 GET /users/7(/users/{id}) \
             [127.0.0.1:50000]->[127.0.0.1:8080] contentLen:0B responseLen:28B\n"
        );
    }

    #[test]
    fn what_clients_send_does_not_steer_the_terminal() {
        let mut request = fixtures::request(1, "/\u{1b}[2J\n\u{9b}\u{202e}\u{e0041}");
        request.status = None;
        request.outcome = Outcome::ServerClosed;
        for form in [TracePrinter::Text, TracePrinter::Json] {
            let line = printed(form, std::slice::from_ref(&request));
            assert!(!line.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{e0041}']));
            assert!(line.matches('\n').count() == 1, "{line}");
            assert!(line.contains("server closed"), "{line}");
        }
    }

    #[test]
    fn json_is_that_of_the_report() {
        let requests = [fixtures::request(1, "/a"), fixtures::request(2, "/b\u{e0041}")];
        let lines = printed(TracePrinter::Json, &requests);
        let rows: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!((rows.len(), &rows[1]["path"], &rows[1]["status"]), (2, &"/b\u{e0041}".into(), &200.into()));
        let indented = printed(TracePrinter::JsonIndent, &requests[..1]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&indented).expect("an object"), rows[0]);
        assert!(indented.lines().count() > 5);
    }

    #[test]
    fn a_counter_counts() {
        let requests = [fixtures::request(7, "/a"), fixtures::request(9, "/b")];
        assert_eq!(printed(TracePrinter::Counter, &requests), "1\n2\n");
        assert!(Printer::new(TracePrinter::Disabled, &fixtures::run()).is_none());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00.000000"),
            (951_782_400, "2000-02-29 00:00:00.000000"),
            (1_709_251_199, "2024-02-29 23:59:59.000000"),
            (1_735_689_600, "2025-01-01 00:00:00.000000"),
            (4_107_542_400, "2100-03-01 00:00:00.000000"),
        ] {
            let mut out = String::new();
            date(seconds * 1_000_000_000, &mut out).expect("a String");
            assert_eq!(out, expected);
        }
    }
}
