//! What a client asks for.

use std::sync::Arc;

use super::frame::{NAME_MAX, text, whole_text};
use super::query::{Kind, Query, Steps};
use super::reading::Message;
use super::{PENDING_MAX, Postgresql};
use crate::model::call::CallKind;
use crate::protocol::message::{GivenUp, Messages};
use crate::protocol::pipeline::{Exchange, Start};
use crate::protocol::statement::Statement;
use crate::transport::segment::Direction;

impl Postgresql {
    /// A client's message is whole.
    pub(super) fn request(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let Message { kind, payload, .. } = *message;
        match kind {
            b'Q' => self.simple(message, Some(Arc::new(Statement::read(text(payload).0))), messages),
            // A function that is called by its number.
            b'F' => self.simple(message, None, messages),
            b'P' => {
                let parsed = whole_text(payload).filter(|(name, _)| name.len() < NAME_MAX);
                let statement = parsed.map(|(_, sql)| Arc::new(Statement::read(text(sql).0)));
                if let Some((name, _)) = parsed {
                    self.statements.set(name, statement.clone());
                }
                self.step(message, statement, Steps::PARSE, messages);
            }
            b'B' => {
                let names = whole_text(payload).and_then(|(portal, rest)| Some((portal, whole_text(rest)?.0)));
                let statement = names.and_then(|(_, name)| self.statements.get(name));
                if let Some((portal, _)) = names {
                    self.portals.set(portal, statement.clone());
                }
                self.step(message, statement, Steps::BIND, messages);
            }
            b'D' => {
                let statement = payload.split_first().and_then(|(what, name)| {
                    let names = if *what == b'P' { &self.portals } else { &self.statements };
                    names.get(whole_text(name)?.0)
                });
                self.step(message, statement, Steps::DESCRIBE, messages);
            }
            b'C' => {
                if let Some((b'S', name)) = payload.split_first()
                    && let Some((name, _)) = whole_text(name)
                {
                    self.statements.set(name, None);
                }
                self.step(message, None, Steps::CLOSE, messages);
            }
            b'E' => {
                let statement = whole_text(payload).and_then(|(portal, _)| self.portals.get(portal));
                self.step(message, statement, Steps::EXECUTE, messages);
                self.announce_back(messages);
            }
            b'S' => self.synchronise(message, messages),
            b'H' => self.flush(messages),
            b'd' | b'c' | b'f' => self.copied(message, messages),
            // A password, or the end.
            _ => {}
        }
    }

    /// A message that is a whole query.
    fn simple(&mut self, message: &Message<'_>, statement: Option<Arc<Statement>>, messages: &mut dyn Messages) {
        self.close_back(messages);
        let query = Query { kind: Kind::Simple, statement, ..Query::default() };
        let Some(exchange) = self.push(message.start, query, messages) else { return };
        exchange.add(message);
        self.announce_back(messages);
        self.close_back(messages);
    }

    /// A message that is a step of a query, which has an answer of its own.
    fn step(
        &mut self,
        message: &Message<'_>,
        statement: Option<Arc<Statement>>,
        step: Steps,
        messages: &mut dyn Messages,
    ) {
        if self.pipeline.back().is_some_and(|back| back.own.executes()) {
            self.close_back(messages);
        }
        let exchange = match self.pipeline.back() {
            Some(back) if !back.own.is_closed => back,
            _ => match self.push(message.start, Query::default(), messages) {
                Some(exchange) => exchange,
                None => return,
            },
        };
        exchange.add(message);
        let query = &mut exchange.own;
        query.steps.add(step);
        query.due += 1;
        if statement.is_some() || message.kind == b'B' || message.kind == b'E' {
            query.statement = statement;
        }
    }

    /// The end of a group of messages, and the server is to say when it is ready again.
    fn synchronise(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        if self.pipeline.back().is_none_or(|back| back.own.is_closed) {
            // A round trip that asks for nothing.
            if self.push(message.start, Query::default(), messages).is_none() {
                return;
            }
        }
        let Some(back) = self.pipeline.back() else { return };
        back.add(message);
        back.own.steps.add(Steps::SYNC);
        if back.own.is_silent() {
            messages.aside(back.begun_ns());
        }
        self.announce_back(messages);
        self.close_back(messages);
    }

    /// The server is to answer what it has.
    fn flush(&mut self, messages: &mut dyn Messages) {
        if self.pipeline.back().is_some_and(|back| !back.own.is_closed) {
            self.announce_back(messages);
            self.close_back(messages);
        }
    }

    /// Rows that a client copies to the server, or their end.
    fn copied(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let Some(back) = self.pipeline.back().filter(|back| back.own.may_copy()) else { return };
        back.add(message);
        if message.kind == b'd' {
            return;
        }
        back.own.steps.add(Steps::COPIED);
        if back.own.kind == Kind::Simple {
            back.end_request(message.end_ns, messages);
        }
        // Until the server is told to synchronise, its end may still come.
        back.own.is_closed = back.own.kind == Kind::Simple;
    }

    /// Nothing more belongs to the last command.
    fn close_back(&mut self, messages: &mut dyn Messages) {
        let Some(back) = self.pipeline.back().filter(|back| !back.own.is_closed) else { return };
        back.own.is_closed = true;
        if !back.own.may_copy() || back.own.steps.has(Steps::COPIED) {
            back.end_request(back.own.sent_ns, messages);
        }
    }

    /// Says what the last command asks for, if anybody waits for it.
    fn announce_back(&mut self, messages: &mut dyn Messages) {
        if let Some(last) = self.pipeline.len().checked_sub(1) {
            self.announce(last, messages);
        }
    }

    /// Says what the command at this place asks for, if that is not said and anybody waits for it.
    pub(super) fn announce(&mut self, place: usize, messages: &mut dyn Messages) {
        let Some(exchange) = self.pipeline.get(place) else { return };
        if exchange.is_announced() || exchange.own.is_silent() {
            return;
        }
        let statement = exchange.own.statement.clone();
        let summary = exchange.own.summary(statement.as_deref());
        let text = statement.as_ref().map(|statement| &*statement.text);
        self.pipeline.announce(place, (CallKind::Postgresql, &summary, text), messages);
    }

    fn push(&mut self, start: Start, query: Query, messages: &mut dyn Messages) -> Option<&mut Exchange<Query>> {
        if self.pipeline.len() >= PENDING_MAX {
            self.give_up(GivenUp::Unreadable, messages);
            return None;
        }
        self.forget_unseen_answers(messages);
        Some(self.pipeline.push(start, query))
    }

    /// The request direction is out of step: commands may have gone by.
    pub(super) fn lose_requests(&mut self, messages: &mut dyn Messages) {
        self.requests.kept.clear();
        if self.pipeline.back().is_some_and(|back| !back.is_announced() && !back.own.is_closed) {
            self.pipeline.drop_back();
        }
        self.close_back(messages);
        if self.pipeline.back().is_none_or(|back| back.own.kind != Kind::Unseen) {
            let query = Query { kind: Kind::Unseen, is_closed: true, ..Query::default() };
            self.push(Start::default(), query, messages);
        }
    }
}

impl Exchange<Query> {
    /// A message belongs to the command.
    fn add(&mut self, message: &Message<'_>) {
        self.count(Direction::Request, message.size);
        self.own.sent_ns = message.end_ns;
    }
}
