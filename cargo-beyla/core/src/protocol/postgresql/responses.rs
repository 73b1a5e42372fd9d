//! What a server answers.

use super::frame::{text, whole_text};
use super::query::{Kind, Query, Steps};
use super::reading::Message;
use super::side::State;
use super::{Login, Postgresql};
use crate::model::call::CallKind;
use crate::protocol::message::{ErrorCode, GivenUp, Messages};
use crate::protocol::pipeline::{Exchange, Start};
use crate::transport::segment::Direction;

impl Postgresql {
    /// The first bytes of a server's message have come.
    pub(super) fn response_begins(&mut self, kind: u8, start: Start, messages: &mut dyn Messages) {
        if self.login != Login::Done || self.is_stale || self.skipping.is_some() || is_by_itself(kind) {
            return;
        }
        // The end of a group of messages is not yet known to be the answer to anything.
        let Some(front) = self.pipeline.front().filter(|front| kind != b'Z' && front.own.may_answer(kind)) else {
            return;
        };
        // The server is ready to take rows: it answers behind them.
        if front.own.may_copy() && !front.own.steps.has(Steps::COPIED) && matches!(kind, b'1' | b'2' | b'G') {
            return;
        }
        self.announce(0, messages);
        if let Some(front) = self.pipeline.front() {
            front.respond(start, front.own.sent_ns, messages);
        }
    }

    /// A server's message is whole.
    pub(super) fn response(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let Message { kind, end_ns, .. } = *message;
        if self.login != Login::Done {
            return self.log_in(message, messages);
        }
        match kind {
            b'Z' => return self.ready(message, messages),
            // Both directions copy: replication.
            b'W' => return self.give_up(GivenUp::Unreadable, messages),
            _ if is_by_itself(kind) || self.is_stale || self.skipping.is_some() => return,
            _ => {}
        }
        let Some(front) = self.pipeline.front() else { return };
        if !front.own.may_answer(kind) {
            // It belongs to another command: the pairs are no longer known.
            self.miss_all(messages);
            self.is_stale = true;
            return;
        }
        front.count(Direction::Response, message.size);
        match kind {
            b'D' => front.own.data_rows += 1,
            b'E' => self.failed(message, messages),
            // Whoever has told the server to synchronise does so again behind the rows.
            b'G' if front.own.kind == Kind::Extended => {
                front.own.steps.remove(Steps::SYNC);
                front.own.is_closed = false;
            }
            b'C' | b's' => {
                front.complete(message);
                self.answered(end_ns, messages);
            }
            b'1' | b'2' | b'3' | b'n' | b'I' | b'T' => self.answered(end_ns, messages),
            _ => {}
        }
    }

    /// One message of the first command has its answer.
    fn answered(&mut self, end_ns: Option<u64>, messages: &mut dyn Messages) {
        let Some(front) = self.pipeline.front().filter(|front| front.own.kind == Kind::Extended) else { return };
        front.own.due = front.own.due.saturating_sub(1);
        if front.own.due == 0 && !front.own.steps.has(Steps::SYNC) && (front.own.executes() || front.own.is_closed) {
            self.end_front(end_ns, messages);
        }
    }

    /// An error: section "Error and Notice Message Fields". The server reads over what follows in the group.
    fn failed(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let code = error_code(message.payload).unwrap_or(ErrorCode::new(b""));
        let Some(front) = self.pipeline.front() else { return };
        front.ending.error = Some(code);
        front.own.failed_ns = message.end_ns;
        if front.own.kind == Kind::Extended {
            self.skipping = Some(code);
            let is_whole = front.own.executes() || front.own.is_closed;
            if is_whole && !front.own.steps.has(Steps::SYNC) {
                self.end_front(message.end_ns, messages);
            }
        }
    }

    /// The server is ready: a group of messages has been answered.
    fn ready(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let skipped = self.skipping.take();
        if std::mem::take(&mut self.is_stale) || !self.pipeline.iter().any(|exchange| exchange.own.ends_ready()) {
            return;
        }
        loop {
            self.announce(0, messages);
            let Some(front) = self.pipeline.front() else { return };
            let is_last = front.own.ends_ready();
            if is_last {
                front.count(Direction::Response, message.size);
            }
            if let Some(code) = skipped {
                if front.own.due > 0 {
                    front.ending.error.get_or_insert(code);
                }
            } else if front.own.due > 0 {
                // The answers were not seen.
                self.pipeline.miss_front(messages);
                if is_last {
                    return;
                }
                continue;
            }
            front.respond(message.start, front.own.sent_ns, messages);
            self.end_front(message.end_ns, messages);
            if is_last {
                return;
            }
        }
    }

    fn end_front(&mut self, end_ns: Option<u64>, messages: &mut dyn Messages) {
        if let Some(front) = self.pipeline.front()
            && front.own.has_lost_rows
            && front.own.is_several()
        {
            front.ending.rows = None;
        }
        self.pipeline.end_front(end_ns, messages);
    }

    /// Before the server is ready for the first time.
    fn log_in(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        match (message.kind, self.login) {
            (b'Z', _) => {
                self.login = Login::Done;
                if let Some(end_ns) = message.end_ns {
                    messages.ready(end_ns);
                }
            }
            (b'E', Login::Asked(start, sent_ns)) => {
                // Nothing else says that there is no connection.
                self.login = Login::Done;
                self.pipeline.push(start, Query { kind: Kind::Simple, is_closed: true, ..Query::default() });
                self.pipeline.announce(0, (CallKind::Postgresql, "CONNECT", None), messages);
                if let Some(front) = self.pipeline.front() {
                    front.ending.error = error_code(message.payload);
                    front.respond(message.start, Some(sent_ns), messages);
                    front.count(Direction::Response, message.size);
                }
                self.pipeline.end_front(message.end_ns, messages);
            }
            _ => {}
        }
    }

    /// Where the next message of a direction begins is not known; `in_call` if that is because bytes that a call moved
    /// were not captured or are no messages.
    pub(super) fn lose(&mut self, direction: Direction, in_call: bool, messages: &mut dyn Messages) {
        if self.side(direction).is_lost() {
            return;
        }
        let state = std::mem::replace(&mut self.side(direction).state, State::Lost);
        match direction {
            Direction::Request => {
                self.lose_requests(messages);
                if in_call {
                    messages.unread();
                }
            }
            Direction::Response => {
                self.responses.kept.clear();
                if self.pipeline.len() > 1 {
                    self.pipeline.lose_responses();
                } else if let Some(front) = self.pipeline.front() {
                    front.own.has_lost_rows = true;
                    front.doubt();
                }
                if let State::Head { length, .. } = state {
                    self.count_lost(direction, length as u64);
                }
            }
        }
    }

    /// Bytes of a direction that is out of step: those of an answer, if it is the only one.
    pub(super) fn count_lost(&mut self, direction: Direction, length: u64) {
        if direction == Direction::Response
            && self.pipeline.len() == 1
            && let Some(front) = self.pipeline.front()
        {
            front.count(direction, length);
        }
    }

    /// The answers are in step again, in the midst of them.
    pub(super) fn answers_go_on(&mut self, messages: &mut dyn Messages) {
        if self.pipeline.len() > 1 && self.pipeline.iter().any(Exchange::is_doubtful) {
            self.miss_all(messages);
            self.is_stale = true;
        }
    }

    /// The answers are in step again, because a call that returned at `end_ns` ended with the word that the server is
    /// ready. Which of several queries it is the end of is not known.
    pub(super) fn ready_again(&mut self, end_ns: u64, messages: &mut dyn Messages) {
        self.responses.state = State::HEAD;
        self.is_stale = false;
        self.skipping = None;
        if self.login != Login::Done {
            self.login = Login::Done;
            messages.ready(end_ns);
        }
        let groups = self.pipeline.iter().filter(|exchange| exchange.own.ends_ready()).count();
        let is_single = groups == 1 && self.pipeline.len() == 1;
        match self.pipeline.front().filter(|front| is_single && front.is_answered()) {
            Some(front) => {
                front.ending.rows = None;
                self.pipeline.end_front(Some(end_ns), messages);
            }
            None if groups > 0 => self.miss_all(messages),
            None => {}
        }
    }

    /// The next command has come: those whose answers may have gone by unseen have had them.
    pub(super) fn forget_unseen_answers(&mut self, messages: &mut dyn Messages) {
        if self.pipeline.front().is_some_and(|front| front.is_doubtful()) {
            self.miss_all(messages);
        }
    }

    /// What was under way is told no more.
    pub(super) fn miss_all(&mut self, messages: &mut dyn Messages) {
        while !self.pipeline.is_empty() {
            self.pipeline.miss_front(messages);
        }
    }
}

impl Exchange<Query> {
    /// A command of the query is complete, or as many rows have come as were asked for.
    fn complete(&mut self, message: &Message<'_>) {
        let seen = Some(std::mem::take(&mut self.own.data_rows)).filter(|rows| *rows > 0 && !self.own.has_lost_rows);
        let said = if message.kind == b'C' { rows_of_tag(text(message.payload).0) } else { seen };
        if let Some(rows) = said.or(seen) {
            self.ending.rows = Some(self.ending.rows.unwrap_or(0).saturating_add(rows));
        }
    }
}

/// What a server says without having been asked: parameters, notices, notifications, and what belongs to a login.
fn is_by_itself(kind: u8) -> bool {
    matches!(kind, b'S' | b'N' | b'A' | b'K' | b'R' | b'v')
}

/// The rows of a tag such as `INSERT 0 5`.
fn rows_of_tag(tag: &[u8]) -> Option<u64> {
    let last = tag.rsplit(|&byte| byte == b' ').next()?;
    str::from_utf8(last).ok()?.parse().ok()
}

/// The SQLSTATE of an error.
fn error_code(fields: &[u8]) -> Option<ErrorCode> {
    let mut rest = fields;
    while let Some((&kind, value)) = rest.split_first() {
        let (value, next) = whole_text(value)?;
        if kind == b'C' {
            return Some(ErrorCode::new(value));
        }
        rest = next;
    }
    None
}
