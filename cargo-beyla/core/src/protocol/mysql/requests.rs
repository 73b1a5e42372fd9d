//! What a client asks for.

use std::borrow::Cow;
use std::sync::Arc;

use super::commands::{self, LAST_PREPARED, code};
use super::packet::{Packet, Reader};
use super::query::{Answer, Query};
use super::side::State;
use super::{Mysql, PENDING_MAX};
use crate::model::call::CallKind;
use crate::protocol::message::{GivenUp, Messages};
use crate::protocol::prepared::Prepared;
use crate::protocol::statement::Statement;
use crate::transport::segment::Direction;

impl Mysql {
    /// A client's packet is whole.
    pub(super) fn request(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        if packet.continues || packet.head.sequence != 0 {
            return self.goes_on(packet, messages);
        }
        self.settle(messages);
        match packet.payload.split_first() {
            Some((&first, arguments)) => self.command(first, arguments, packet, messages),
            // Its first byte was not captured.
            None => messages.unread(),
        }
    }

    /// A command. The packet may be the first of several.
    fn command(&mut self, first: u8, arguments: &[u8], packet: &Packet<'_>, messages: &mut dyn Messages) {
        let by_number = || Reader(arguments).u32().and_then(|number| self.statements.get(&number));
        let dialect = self.dialect();
        let (name, statement, answer) = match first {
            code::QUERY => {
                let text = commands::statement(arguments);
                let statement = text.map(|text| Arc::new(Statement::read_as(dialect, text)));
                (if statement.is_some() { "" } else { "QUERY" }, statement, Answer::Result)
            }
            code::PREPARE => {
                let statement = Arc::new(Statement::read_as(dialect, arguments));
                ("PREPARE", Some(statement), Answer::Prepared)
            }
            code::EXECUTE | code::BULK_EXECUTE => {
                let statement = by_number();
                (if statement.is_some() { "" } else { "EXECUTE" }, statement, Answer::Result)
            }
            code::FETCH => ("FETCH", by_number(), Answer::Rows),
            code::INIT_DB => {
                let statement = Statement::read_as(dialect, &[b"USE ", arguments].concat());
                ("", Some(Arc::new(statement)), Answer::Done)
            }
            code::FIELD_LIST => ("SHOW COLUMNS", None, Answer::List),
            code::CREATE_DB => ("CREATE DATABASE", None, Answer::Done),
            code::DROP_DB => ("DROP DATABASE", None, Answer::Done),
            code::REFRESH => ("FLUSH", None, Answer::Done),
            code::SHUTDOWN => ("SHUTDOWN", None, Answer::Done),
            code::STATISTICS => ("SHOW STATUS", None, Answer::Text),
            code::PROCESS_INFO => ("SHOW PROCESSLIST", None, Answer::Result),
            code::PROCESS_KILL => ("KILL", None, Answer::Done),
            code::DEBUG => ("DEBUG", None, Answer::Done),
            code::SET_OPTION => ("SET", None, Answer::Done),
            code::CHANGE_USER => ("CHANGE USER", None, Answer::Login),
            code::PING | code::RESET | code::RESET_CONNECTION => {
                messages.aside(packet.start.begin_ns);
                ("", None, Answer::Done)
            }
            code::QUIT | code::SEND_LONG_DATA | code::CLOSE => {
                if let (code::CLOSE, Some(number)) = (first, Reader(arguments).u32()) {
                    self.statements.set(&number, None);
                }
                return messages.aside(packet.start.begin_ns);
            }
            // The connection becomes one of a replica.
            code::BINLOG_DUMP | code::REGISTER_REPLICA | code::BINLOG_DUMP_GTID | code::CLONE => {
                return self.give_up(GivenUp::Unreadable, messages);
            }
            _ => return self.lose(Direction::Request, true, messages),
        };
        if matches!(first, code::CHANGE_USER | code::RESET_CONNECTION) {
            self.statements = Prepared::default();
        }
        if first == code::PREPARE {
            self.statements.set(&LAST_PREPARED, statement.clone());
        }
        if self.pipeline.len() >= PENDING_MAX {
            return self.give_up(GivenUp::Unreadable, messages);
        }
        let query = Query { name, statement, answer, is_sending: packet.is_continued(), ..Query::default() };
        self.pipeline.push(packet.start, query);
        self.announce_back(messages);
        self.add_to_back(packet, messages);
    }

    /// A packet that does not begin a command: the next part of a long one, of a file, or a step of a login.
    fn goes_on(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let Some(back) = self.pipeline.back() else {
            // What it goes on with was not captured, or asks for nothing.
            if !packet.continues {
                self.lose(Direction::Request, true, messages);
            }
            return;
        };
        match back.own.answer {
            Answer::File => {
                back.own.is_sending = packet.head.length > 0 || packet.continues;
                if !back.own.is_sending {
                    back.own.answer = Answer::Result;
                }
            }
            Answer::Login => {}
            _ if packet.continues => back.own.is_sending = packet.is_continued(),
            _ => return self.lose(Direction::Request, true, messages),
        }
        self.add_to_back(packet, messages);
    }

    /// A packet belongs to the last command.
    fn add_to_back(&mut self, packet: &Packet<'_>, messages: &mut dyn Messages) {
        let Some(back) = self.pipeline.back() else { return };
        back.count(Direction::Request, packet.size());
        back.own.sent_ns = packet.end_ns;
        back.own.next_sequence = Some(packet.next_sequence());
        // A file may be asked for, or more of a login.
        if !back.own.is_sending && back.own.answer != Answer::Login && !back.own.may_send_file() {
            back.end_request(packet.end_ns, messages);
        }
    }

    /// Says what the last command asks for, if the application asks for it.
    fn announce_back(&mut self, messages: &mut dyn Messages) {
        let Some(back) = self.pipeline.back() else { return };
        let statement = back.own.statement.clone();
        let Some(summary) = back.own.summary().map(Cow::into_owned) else { return };
        let text = statement.as_ref().map(|statement| &*statement.text);
        let last = self.pipeline.len() - 1;
        self.pipeline.announce(last, (CallKind::Mysql, &summary, text), messages);
    }

    /// A call that returned at `end_ns` has moved bytes of requests.
    pub(super) fn sent(&mut self, end_ns: u64) {
        if let Some(back) = self.pipeline.back().filter(|back| back.own.is_sending) {
            back.own.sent_ns = Some(end_ns);
        }
    }

    /// The request direction is out of step.
    pub(super) fn lose_requests(&mut self, in_call: bool, messages: &mut dyn Messages) {
        match self.pipeline.back() {
            // The rest of what it sends.
            Some(back) if back.own.is_sending => back.own.next_sequence = None,
            Some(_) => {
                // Commands may have been sent ahead.
                self.pipeline.lose_responses();
                if in_call {
                    messages.unread();
                }
            }
            None if in_call => messages.unread(),
            None => {}
        }
    }

    /// The next command comes. A client waits for an answer before it sends that, as a rule: so an answer that was not seen
    /// to end has ended with the last bytes that came.
    fn settle(&mut self, messages: &mut dyn Messages) {
        if let Some(front) = self.pipeline.front().filter(|front| front.is_doubtful()) {
            let is_known = front.is_answered() && !front.own.has_gap;
            if is_known && self.pipeline.len() == 1 {
                self.end_front(Some(self.received_ns), messages);
            } else {
                self.miss_all(messages);
            }
        }
        if self.pipeline.is_empty() {
            self.responses.state = State::HEAD;
            self.responses.kept.clear();
            self.responses.continues = false;
        }
    }

    /// The connection is not read any further.
    fn give_up(&mut self, reason: GivenUp, messages: &mut dyn Messages) {
        self.miss_all(messages);
        self.is_reading = false;
        messages.give_up(reason);
    }

    /// What was under way is told no more.
    fn miss_all(&mut self, messages: &mut dyn Messages) {
        while !self.pipeline.is_empty() {
            self.pipeline.miss_front(messages);
        }
    }
}
