//! What is kept of an exchange.

use std::borrow::Cow;
use std::sync::Arc;

use crate::protocol::statement::Statement;

/// What a command asks for, and what of its answer is still to come.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) kind: Kind,
    /// If it is known.
    pub(super) statement: Option<Arc<Statement>>,
    /// Which messages it consists of.
    pub(super) steps: Steps,
    /// Answers to these messages that have not come.
    pub(super) due: u32,
    /// Nothing more belongs to it, except the message that synchronises.
    pub(super) is_closed: bool,
    /// Return of the call that moved its last byte so far, in nanoseconds.
    pub(super) sent_ns: Option<u64>,
    /// Rows since the last command was complete.
    pub(super) data_rows: u64,
    /// Some of its rows were not seen.
    pub(super) has_lost_rows: bool,
    /// Return of the call that brought the end of an error, in nanoseconds.
    pub(super) failed_ns: Option<u64>,
}

/// The kinds of messages that a command consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps(u8);

impl Steps {
    pub(super) const PARSE: Self = Self(1);
    pub(super) const BIND: Self = Self(1 << 1);
    pub(super) const DESCRIBE: Self = Self(1 << 2);
    pub(super) const CLOSE: Self = Self(1 << 3);
    pub(super) const EXECUTE: Self = Self(1 << 4);
    /// The end of the rows that a client copies.
    pub(super) const COPIED: Self = Self(1 << 5);
    /// What synchronises: the answer ends when the server is ready.
    pub(super) const SYNC: Self = Self(1 << 6);

    /// Whether it has one of these.
    pub(super) fn has(self, steps: Self) -> bool {
        self.0 & steps.0 != 0
    }

    pub(super) fn add(&mut self, step: Self) {
        self.0 |= step.0;
    }

    pub(super) fn remove(&mut self, step: Self) {
        self.0 &= !step.0;
    }
}

/// How a query is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// In messages, one for each step.
    #[default]
    Extended,
    /// In one message, after which the server is ready again.
    Simple,
    /// It was not seen, and may be several.
    Unseen,
}

impl Query {
    /// Whether its answer ends when the server is ready.
    pub(super) fn ends_ready(&self) -> bool {
        self.kind != Kind::Extended || self.steps.has(Steps::SYNC)
    }

    /// Whether nobody waits for it, or nothing is known of it.
    pub(super) fn is_silent(&self) -> bool {
        let asks = Steps(Steps::PARSE.0 | Steps::BIND.0 | Steps::DESCRIBE.0 | Steps::EXECUTE.0);
        self.kind == Kind::Unseen || (self.kind == Kind::Extended && !self.steps.has(asks))
    }

    /// Whether rows may be copied to the server, which the client sends after the first answer.
    pub(super) fn may_copy(&self) -> bool {
        self.statement.as_ref().is_some_and(|statement| statement.summary.starts_with("COPY "))
            && (self.executes() || self.kind == Kind::Simple)
    }

    /// Whether it is carried out, and not only prepared.
    pub(super) fn executes(&self) -> bool {
        self.steps.has(Steps::EXECUTE)
    }

    /// Whether its answer may hold such a message.
    pub(super) fn may_answer(&self, kind: u8) -> bool {
        if kind == b'E' || self.kind == Kind::Unseen {
            return true;
        }
        let is_simple = self.kind == Kind::Simple;
        let is_due = |step| self.due > 0 && self.steps.has(step);
        match kind {
            b'1' => is_due(Steps::PARSE),
            b'2' => is_due(Steps::BIND),
            b'3' => is_due(Steps::CLOSE),
            b't' | b'n' => is_due(Steps::DESCRIBE),
            b'T' => is_simple || is_due(Steps::DESCRIBE),
            b's' => is_due(Steps::EXECUTE),
            b'C' | b'I' | b'D' | b'G' | b'H' | b'd' | b'c' => is_simple || is_due(Steps::EXECUTE),
            b'V' => is_simple,
            _ => false,
        }
    }

    /// What it asks for, with this statement, which is its own.
    pub(super) fn summary<'a>(&self, statement: Option<&'a Statement>) -> Cow<'a, str> {
        let step = match self.steps {
            _ if self.kind == Kind::Simple => "",
            steps if steps.has(Steps::EXECUTE) => "",
            steps if steps.has(Steps::PARSE) => "PREPARE",
            steps if steps.has(Steps::BIND) => "BIND",
            _ => "DESCRIBE",
        };
        match statement {
            Some(statement) if step.is_empty() => Cow::Borrowed(&statement.summary),
            Some(statement) => Cow::Owned(format!("{step} {}", statement.summary)),
            None if step.is_empty() => Cow::Borrowed("EXECUTE"),
            None => Cow::Borrowed(step),
        }
    }

    /// Whether it asks for several things, one after the other.
    pub(super) fn is_several(&self) -> bool {
        self.statement.as_ref().is_none_or(|statement| statement.summary.contains("; "))
    }
}
