//! What is kept of an exchange.

use std::borrow::Cow;
use std::sync::Arc;

use crate::protocol::statement::Statement;

/// What a command asks for, and what of its answer is still to come.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// What the command does, apart from its statement; empty for nothing but that.
    pub(super) name: &'static str,
    /// If it is known.
    pub(super) statement: Option<Arc<Statement>>,
    /// What comes next of the answer.
    pub(super) answer: Answer,
    /// The number of the server's next packet, if it is known.
    pub(super) next_sequence: Option<u8>,
    /// The client has more to send for it.
    pub(super) is_sending: bool,
    /// Return of the call that moved its last byte so far, in nanoseconds.
    pub(super) sent_ns: Option<u64>,
    /// Rows of all results so far, once there was a result that has some.
    pub(super) rows: Option<u64>,
    /// Some of its rows were not seen.
    pub(super) has_lost_rows: bool,
    /// Nobody knows when some bytes of its answer moved.
    pub(super) has_gap: bool,
}

/// What comes next of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer {
    /// The number of columns, what a statement without rows has done, or the name of a file.
    #[default]
    Result,
    /// That it is done.
    Done,
    /// The number of a prepared statement.
    Prepared,
    /// Descriptions of columns or parameters, so many.
    Descriptions { left: u64, then: Then },
    /// What ends descriptions, if anything does.
    Separator { then: Then },
    /// Rows.
    Rows,
    /// Descriptions, until one packet ends them.
    List,
    /// One packet of text.
    Text,
    /// Steps of a login.
    Login,
    /// The client sends a file.
    File,
}

/// What stands behind descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Rows,
    /// Descriptions of so many columns, which are not 0.
    Columns(u64),
    /// Nothing.
    End,
}

/// Operations that say how many rows they have changed, also if there are none.
const CHANGES: [&str; 5] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD"];

impl Query {
    /// What it asks for; `None` if the application has not asked for it.
    pub(super) fn summary(&self) -> Option<Cow<'_, str>> {
        Some(match &self.statement {
            Some(statement) if self.name.is_empty() => Cow::Borrowed(&*statement.summary),
            Some(statement) => Cow::Owned(format!("{} {}", self.name, statement.summary)),
            None if self.name.is_empty() => return None,
            None => Cow::Borrowed(self.name),
        })
    }

    /// Whether the client may be asked for a file, which it sends after the first answer.
    pub(super) fn may_send_file(&self) -> bool {
        self.statement.as_ref().is_some_and(|statement| statement.summary.starts_with("LOAD"))
    }

    /// Adds the rows that a result without rows says that it has changed.
    pub(super) fn changed(&mut self, affected: u64) {
        let statement = self.statement.as_ref();
        let changes = statement.is_some_and(|statement| {
            let operation = |part: &str| CHANGES.iter().any(|change| part.starts_with(change));
            statement.summary.split("; ").any(operation)
        });
        if affected > 0 || (changes && self.name.is_empty()) {
            self.rows = Some(self.rows.unwrap_or(0).saturating_add(affected));
        }
    }
}
