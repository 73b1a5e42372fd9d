//! Statements that SQLite has executed -> calls.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::event::SqliteExecution;
use crate::exchange::call_in_flight::CallInFlight;
use crate::exchange::run_state::RunState;
use crate::exchange::sqlite_codes::{DONE, ROW, error_name};
use crate::model::call::{CallBoundaries, CallKind};
use crate::model::connection::{ConnectionInfo, Endpoint, Owner, StreamId};
use crate::model::request::{MessageBytes, Outcome};
use crate::protocol::message::CommandEnding;
use crate::protocol::sqlite;
use crate::protocol::statement::Statement;
use crate::runtime::attribution::{NewCall, Operator};

/// The statements that are known at most.
const STATEMENTS_MAX: usize = 1024;

/// Later than every moment, in nanoseconds.
const NEVER_NS: u64 = u64::MAX;

/// What is known of SQLite in the processes of a run.
#[derive(Debug, Default)]
pub(crate) struct SqliteCalls {
    /// Those that were read before, by their bytes.
    statements: HashMap<Box<[u8]>, Statement>,
    /// The processes in which results were found where they were looked for: steps end with one of two codes as a rule.
    proven: HashSet<u32>,
    /// Whose calls they are, by process.
    owners: HashMap<u32, Arc<ConnectionInfo>>,
}

impl SqliteCalls {
    /// A statement was executed. `owner`: the process and the test, in a run that traces several processes.
    pub(crate) fn executed(&mut self, execution: &SqliteExecution<'_>, owner: Option<Owner>, state: &mut RunState) {
        let SqliteExecution { begin_ns, end_ns, is_end_seen, process, thread, task, .. } = *execution;
        let statement = (!execution.text.is_empty()).then(|| self.statement(execution.text));
        let summary = statement.as_ref().map_or_else(|| state.call_texts.intern("QUERY"), |of| Arc::clone(&of.summary));
        let code = self.code(execution);
        let maker = Operator { process: owner.map_or(0, |owner| owner.pid), thread, task };
        // No task works on this "connection" for others.
        let mut users = state.attribution.opens(maker, NEVER_NS);
        let new = NewCall { maker, summary: &summary, start_ns: begin_ns, begun_ns: begin_ns };
        let start = state.attribution.begins(&mut users, &new);
        state.calls += 1;
        let rows = rows(execution.steps, code, &summary);
        let ended = end_ns.max(begin_ns);
        let call = CallInFlight {
            id: state.calls,
            stream: StreamId(0),
            kind: CallKind::Sqlite,
            summary,
            text: statement.map(|statement| statement.text),
            // Nothing has to be sent, so all of its time is the database's.
            boundaries: CallBoundaries { begun: begin_ns, sent: Some(begin_ns), ended, ..CallBoundaries::default() },
            request_bytes: MessageBytes::default(),
            is_sent: true,
            response_bytes: None,
            status: None,
            grpc_status: None,
            ending: CommandEnding { error: None, rows },
            error_name: code.and_then(error_name),
            outcome: Some(if is_end_seen { Outcome::Complete } else { Outcome::NotSeen }),
            trace: None,
            start,
        };
        let info = self.info(process, owner);
        state.finish_sqlite(call, &users, &info);
    }

    fn statement(&mut self, text: &[u8]) -> Statement {
        if let Some(statement) = self.statements.get(text) {
            return statement.clone();
        }
        let statement = sqlite::read(text);
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(text.into(), statement.clone());
        statement
    }

    /// What was returned, if it can be told: results are read from the inside of SQLite, which another version may have
    /// ordered anew.
    fn code(&mut self, execution: &SqliteExecution<'_>) -> Option<i32> {
        let code = execution.code?;
        if execution.steps.is_none() {
            return Some(code);
        }
        if matches!(code, ROW | DONE) {
            self.proven.insert(execution.process);
        }
        self.proven.contains(&execution.process).then_some(code)
    }

    fn info(&mut self, process: u32, owner: Option<Owner>) -> Arc<ConnectionInfo> {
        if let Some(info) = self.owners.get(&process).filter(|info| info.owner == owner) {
            return Arc::clone(info);
        }
        let nowhere = || Endpoint::Unix(String::new());
        let info = ConnectionInfo { id: 0, server: nowhere(), client: nowhere(), proxy: None, owner, tls: None };
        let info = Arc::new(info);
        self.owners.insert(process, Arc::clone(&info));
        info
    }
}

/// The rows that a statement has answered with. One that changes rows has none as a rule, and nobody says how many it has
/// changed.
fn rows(steps: Option<u32>, code: Option<i32>, summary: &str) -> Option<u64> {
    let steps = u64::from(steps?);
    let rows = if code? == ROW { steps } else { steps.saturating_sub(1) };
    let changes_rows = ["INSERT ", "UPDATE ", "DELETE "].iter().any(|operation| summary.contains(operation));
    (rows > 0 || (summary.starts_with("SELECT") && !changes_rows)).then_some(rows)
}
