//! What is wrong with calls, and what usually helps: a line beneath their row.

use std::sync::Arc;

use crate::report::text;
use crate::report::units::count;
use cargo_beyla_core::model::call::{Call, CallKind, CallSummary};
use cargo_beyla_core::model::request::Outcome;

/// As many calls of a kind in one request could often be one.
const REPEATED: u64 = 10;

/// What is wrong with the calls of a row, and the usual cure; `None` if nothing is known to be. `calls` has the kept calls
/// of all rows.
pub(super) fn advice(row: &CallSummary, calls: &[Arc<Call>]) -> Option<String> {
    let mut of_row = calls.iter().filter(|call| is_of(call, row));
    if row.errors > 0 && &*row.summary == Call::CONNECT {
        return of_row.find_map(|call| not_connected(call));
    }
    if of_row.any(|call| has_unknown_statement(call)) {
        return Some("prepared before this tool looked, so that the statement is not known".to_owned());
    }
    let most = row.per_request?.max;
    let cure = match row.kind {
        _ if most < REPEATED => return None,
        CallKind::Postgresql => "one statement can do all (JOIN, = ANY, unnest)",
        CallKind::Sqlite => "one statement can do all (JOIN, IN)",
        CallKind::Mysql => "one statement can do all (JOIN, IN, rows behind VALUES)",
        CallKind::Mongodb => "one find with $in, or one aggregation, can do all",
        CallKind::Redis => "MGET or a pipeline asks for all of it at once",
        CallKind::Http | CallKind::Grpc => "can the service be asked for all of it at once?",
        CallKind::Tcp => return None,
    };
    Some(format!("up to {} in one request: {cure}", count(most)))
}

fn is_of(call: &Call, row: &CallSummary) -> bool {
    call.kind == row.kind && call.summary == row.summary && call.peer() == row.peer.as_ref()
}

/// Whether a call names a statement that was prepared before the connection was seen.
fn has_unknown_statement(call: &Call) -> bool {
    call.kind.is_sql() && call.text.is_none() && matches!(&*call.summary, "EXECUTE" | "BIND" | "DESCRIBE")
}

/// Why a connection could not be opened.
fn not_connected(call: &Call) -> Option<String> {
    let (status, outcome) = Some((call.status.as_deref(), call.outcome)).filter(|_| call.is_error)?;
    let said = match status {
        Some("ECONNREFUSED") => "nothing listens there",
        Some("EACCES" | "EPERM") => "this user may not connect there",
        Some("ETIMEDOUT" | "EHOSTUNREACH" | "ENETUNREACH") => "nothing answers there",
        None if outcome == Outcome::ClientClosed => "nothing answered before the server gave up",
        _ => return None,
    };
    let status = status.map_or_else(String::new, |status| format!(" ({})", text::escape(status)));
    Some(format!("{said}{status}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use cargo_beyla_core::model::call::CallsPerRequest;

    #[test]
    fn a_call_in_a_loop_and_a_peer_that_is_not_there() {
        let summary = fixtures::calling();
        let said: Vec<String> = summary.call_summaries.iter().filter_map(|row| advice(row, &summary.calls)).collect();
        assert_eq!(
            said,
            [
                "up to 48 in one request: one statement can do all (JOIN, = ANY, unnest)",
                "nothing listens there (ECONNREFUSED)"
            ]
        );
    }

    #[test]
    fn a_statement_that_was_prepared_before() {
        let mut summary = fixtures::calling();
        let row = summary.call_summaries.iter_mut().find(|row| &*row.summary == "SELECT orders").expect("a row");
        let call = summary.calls.iter_mut().find(|call| call.summary == row.summary).expect("its call");
        let call = Arc::make_mut(call);
        row.summary = "EXECUTE".into();
        call.summary = "EXECUTE".into();
        assert_eq!(advice(row, &[Arc::new(call.clone())]), None);
        call.text = None;
        let said = advice(row, &[Arc::new(call.clone())]);
        assert!(said.is_some_and(|said| said.contains("the statement is not known")));
    }

    #[test]
    fn few_calls_are_not_remarked() {
        let summary = fixtures::calling();
        let of = |max| CallSummary {
            per_request: Some(CallsPerRequest { mean: 1.0, max }),
            ..summary.call_summaries[0].clone()
        };
        assert_eq!(advice(&of(9), &summary.calls), None);
        assert!(advice(&of(10), &summary.calls).is_some_and(|said| said.starts_with("up to 10 in one request: can")));
    }
}
