//! What a client asks for, and what a server answers.

use super::asked::Asked;
use super::message::Content;
use super::reading::Message;
use super::{Mongodb, PENDING_MAX, answer};
use crate::model::call::CallKind;
use crate::protocol::message::{CommandEnding, GivenUp, Messages};
use crate::transport::segment::Direction;

impl Mongodb {
    /// A client's message is whole.
    pub(super) fn request(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let number = message.head.number;
        let asked = match message.head.content(message.payload) {
            Content::Document(document) => Asked::of(number, document),
            Content::Unanswered => return messages.aside(message.start.begin_ns),
            Content::Unknown => Asked::unknown(number),
        };
        if self.pipeline.len() >= PENDING_MAX {
            self.is_reading = false;
            return messages.give_up(GivenUp::Unreadable);
        }
        let is_opening = asked.is_opening();
        self.pipeline.push(message.start, asked).count(Direction::Request, message.size());
        if is_opening {
            messages.aside(message.start.begin_ns);
        } else {
            self.announce(self.pipeline.len() - 1, messages);
        }
        if let Some(exchange) = self.pipeline.back() {
            exchange.end_request(message.end_ns, messages);
        }
    }

    /// A server's message is whole. One that answers nothing goes on with an answer that has come: so a server tells a client
    /// that watches it of changes.
    pub(super) fn response(&mut self, message: &Message<'_>, messages: &mut dyn Messages) {
        let answers = message.head.answers;
        let Some(place) = self.pipeline.iter().position(|exchange| exchange.own.number == answers) else { return };
        for _ in 0..place {
            // Their answers have gone by.
            self.pipeline.miss_front(messages);
        }
        let Some(front) = self.pipeline.front() else { return };
        front.ending = match message.head.content(message.payload) {
            Content::Document(document) => answer::ending(&front.own, document),
            Content::Unanswered | Content::Unknown => CommandEnding::default(),
        };
        if front.own.is_opening() {
            if front.ending.error.is_some() {
                // Nothing else says that there is no connection.
                self.announce(0, messages);
            } else if let Some(end_ns) = message.end_ns {
                messages.ready(end_ns);
            }
        }
        if let Some(front) = self.pipeline.front() {
            front.count(Direction::Response, message.size());
            front.respond(message.start, None, messages);
        }
        self.pipeline.end_front(message.end_ns, messages);
    }

    /// Says what the command at this place asks for.
    fn announce(&mut self, place: usize, messages: &mut dyn Messages) {
        let Some(exchange) = self.pipeline.get(place) else { return };
        let summary = exchange.own.summary().into_owned();
        self.pipeline.announce(place, (CallKind::Mongodb, &summary, None), messages);
    }
}
