//! What a server answers.

use super::Mysql;
use super::answer::{self, Ending};
use super::packet::{Packet, Reader};
use super::query::{Answer, Then};
use super::side::State;
use crate::protocol::message::Messages;
use crate::protocol::prepared::Prepared;
use crate::transport::segment::Direction;

impl Mysql {
    /// A server's packet is whole.
    pub(super) fn response(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let Some(front) = self.pipeline.front() else {
            if answer::is_separator(packet.payload, packet.head.length) {
                // It was not known whether it comes.
                self.has_separators = Some(true);
            }
            return;
        };
        if front.own.next_sequence.is_some_and(|next| next != packet.head.sequence) {
            return self.lose(Direction::Response, true, messages);
        }
        front.count(Direction::Response, packet.size());
        front.own.next_sequence = Some(packet.next_sequence());
        if !packet.continues {
            self.answered(packet, messages);
        }
    }

    /// A packet of the answer to the first command.
    fn answered(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let Some(front) = self.pipeline.front() else { return };
        let kind = packet.payload.first().copied();
        let answer = front.own.answer;
        // Both are no answer yet.
        let asks_for_file = matches!(answer, Answer::Result | Answer::File) && kind == Some(answer::FILE);
        let goes_on = answer == Answer::Login && !matches!(kind, Some(answer::OK | answer::ERROR));
        if asks_for_file {
            (front.own.answer, front.own.is_sending) = (Answer::File, true);
        }
        if asks_for_file || goes_on {
            return;
        }
        front.own.is_sending = false;
        front.respond(packet.start, front.own.sent_ns, messages);
        // Elsewhere a packet that begins with this byte is none.
        if kind == Some(answer::ERROR) && answer != Answer::Text {
            return self.failed(packet, messages);
        }
        let ending = Ending::parse(packet.payload, packet.head.length);
        match (answer, ending) {
            (Answer::Text, _) => self.end_front(packet.end_ns, messages),
            (Answer::Result | Answer::File | Answer::Done | Answer::Login, Some(ending)) => {
                front.own.changed(ending.affected);
                if answer == Answer::Login {
                    self.statements = Prepared::default();
                }
                self.ended(ending, packet.end_ns, messages);
            }
            (Answer::Result | Answer::File, None) => self.result_begins(packet, messages),
            (Answer::Prepared, _) => self.prepared(packet, messages),
            (Answer::Descriptions { left, then }, _) if left > 1 => {
                front.own.answer = Answer::Descriptions { left: left - 1, then };
            }
            (Answer::Descriptions { then, .. }, _) => self.described(then, packet.end_ns, messages),
            (Answer::Separator { then }, _) => self.separated(then, packet, messages),
            (Answer::Rows | Answer::List, _) => self.row(packet, messages),
            (Answer::Done | Answer::Login, None) => self.lose(Direction::Response, true, messages),
        }
    }

    /// The number of columns of a result has come. MariaDB may leave out their descriptions, and says so behind it.
    fn result_begins(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let mut reader = Reader(packet.payload);
        let Some(columns) = reader.number().filter(|columns| *columns > 0) else {
            return self.lose(Direction::Response, true, messages);
        };
        let is_described = reader.byte() != Some(0);
        if let Some(front) = self.pipeline.front() {
            front.own.answer = if is_described {
                Answer::Descriptions { left: columns, then: Then::Rows }
            } else {
                Answer::Separator { then: Then::Rows }
            };
        }
    }

    /// A statement is prepared: `COM_STMT_PREPARE_OK`.
    fn prepared(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let mut reader = Reader(packet.payload);
        let said = (reader.byte(), reader.u32(), reader.u16(), reader.u16());
        let (Some(answer::OK), Some(number), Some(columns), Some(parameters)) = said else {
            return self.lose(Direction::Response, true, messages);
        };
        let Some(front) = self.pipeline.front() else { return };
        self.statements.set(&number, front.own.statement.clone());
        let columns = if columns > 0 { Then::Columns(columns.into()) } else { Then::End };
        if parameters > 0 {
            front.own.answer = Answer::Descriptions { left: parameters.into(), then: columns };
        } else {
            self.then(columns, packet.end_ns, messages);
        }
    }

    /// All descriptions have come.
    fn described(&mut self, then: Then, end_ns: Option<u64>, messages: &mut dyn Messages) {
        if then == Then::End && self.has_separators != Some(true) {
            return self.end_front(end_ns, messages);
        }
        if let Some(front) = self.pipeline.front() {
            front.own.answer = Answer::Separator { then };
        }
    }

    /// A packet where descriptions may have an end of their own.
    fn separated(&mut self, then: Then, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let is_separator = answer::is_separator(packet.payload, packet.head.length);
        self.has_separators = Some(is_separator);
        let has_cursor = Ending::parse(packet.payload, packet.head.length).is_some_and(Ending::has_cursor);
        if is_separator && then == Then::Rows && has_cursor {
            return self.end_front(packet.end_ns, messages);
        }
        self.then(then, packet.end_ns, messages);
        if !is_separator && then != Then::End {
            self.answered(packet, messages);
        }
    }

    fn then(&mut self, then: Then, end_ns: Option<u64>, messages: &mut dyn Messages) {
        let Some(front) = self.pipeline.front() else { return };
        match then {
            Then::Rows => front.own.answer = Answer::Rows,
            Then::Columns(left) => front.own.answer = Answer::Descriptions { left, then: Then::End },
            Then::End => self.end_front(end_ns, messages),
        }
    }

    /// A row, or the end of all.
    fn row(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let Some(front) = self.pipeline.front() else { return };
        let has_rows = front.own.answer == Answer::Rows;
        if has_rows {
            front.own.rows.get_or_insert(0);
        }
        if !answer::ends_rows(packet.payload, packet.head.length, self.has_separators) {
            front.own.rows = front.own.rows.map(|rows| rows.saturating_add(1));
            return;
        }
        match Ending::parse(packet.payload, packet.head.length) {
            Some(ending) => self.ended(ending, packet.end_ns, messages),
            None => self.end_front(packet.end_ns, messages),
        }
    }

    /// A result has ended.
    fn ended(&mut self, ending: Ending, end_ns: Option<u64>, messages: &mut dyn Messages) {
        self.has_escapes = Some(ending.has_escapes());
        match self.pipeline.front() {
            Some(front) if ending.has_more() => front.own.answer = Answer::Result,
            _ => self.end_front(end_ns, messages),
        }
    }

    fn failed(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let Some(code) = answer::error_code(packet.payload) else { return };
        if let Some(front) = self.pipeline.front() {
            front.ending.error = Some(code);
            self.end_front(packet.end_ns, messages);
        }
    }

    pub(super) fn end_front(&mut self, end_ns: Option<u64>, messages: &mut dyn Messages) {
        if let Some(front) = self.pipeline.front() {
            front.ending.rows = front.own.rows.filter(|_| !front.own.has_lost_rows);
        }
        self.pipeline.end_front(end_ns, messages);
    }

    /// The response direction is out of step.
    pub(super) fn lose_responses(&mut self, in_call: bool) {
        if self.pipeline.len() > 1 {
            self.pipeline.lose_responses();
        } else if let Some(front) = self.pipeline.front() {
            front.own.has_lost_rows = true;
            front.own.has_gap |= !in_call;
            front.doubt();
        }
    }

    /// Bytes of a direction that is out of step: those of the only exchange, if there is one.
    pub(super) fn count_lost(&mut self, direction: Direction, length: u64) {
        if self.pipeline.len() == 1
            && let Some(front) = self.pipeline.front()
            && (direction == Direction::Response || front.own.is_sending)
        {
            front.count(direction, length);
        }
    }

    /// Answers are out of step, and a call that returned at `end_ns` ended as rows do. Which of several commands that is
    /// the answer to is not known.
    pub(super) fn rows_end(&mut self, end_ns: u64, messages: &mut dyn Messages) {
        if self.pipeline.len() == 1 && self.pipeline.front().is_some_and(|front| front.is_answered()) {
            self.responses.state = State::HEAD;
            self.end_front(Some(end_ns), messages);
        }
    }
}
