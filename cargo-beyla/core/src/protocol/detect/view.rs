//! What a reader says, as the connection as a whole says it.

use crate::model::connection::{Endpoint, Party, StreamId};
use crate::protocol::message::{Command, GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Unfinished};
use crate::transport::segment::Direction;

/// Passes the messages of a reader on that is not the first of its connection.
pub(super) struct View<'a> {
    messages: &'a mut dyn Messages,
    /// What is added to its numbers of exchanges.
    numbered_behind: u64,
    /// Whether it was said before why the connection is not read.
    is_given_up: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(messages: &'a mut dyn Messages, numbered_behind: u64, is_given_up: bool) -> Self {
        Self { messages, numbered_behind, is_given_up }
    }

    fn stream(&self, StreamId(own): StreamId) -> StreamId {
        StreamId(own.saturating_add(self.numbered_behind))
    }
}

impl Messages for View<'_> {
    fn client(&mut self, client: Endpoint) {
        self.messages.client(client);
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        self.messages.request(self.stream(stream), head);
    }

    fn command(&mut self, stream: StreamId, command: &Command<'_>) {
        self.messages.command(self.stream(stream), command);
    }

    fn aside(&mut self, time_ns: u64) {
        self.messages.aside(time_ns);
    }

    fn ready(&mut self, time_ns: u64) {
        self.messages.ready(time_ns);
    }

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        self.messages.response(self.stream(stream), head);
    }

    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd) {
        self.messages.end(self.stream(stream), direction, end);
    }

    fn progress(&mut self, stream: StreamId) {
        self.messages.progress(self.stream(stream));
    }

    fn window(&mut self, stream: Option<StreamId>, is_shut: bool, time_ns: u64) {
        self.messages.window(stream.map(|stream| self.stream(stream)), is_shut, time_ns);
    }

    fn reset(&mut self, stream: StreamId, by: Party, time_ns: u64, unfinished: &Unfinished) {
        self.messages.reset(self.stream(stream), by, time_ns, unfinished);
    }

    fn unseen(&mut self, stream: StreamId) {
        self.messages.unseen(self.stream(stream));
    }

    fn unread(&mut self) {
        self.messages.unread();
    }

    fn note(&mut self, note: Note) {
        self.messages.note(note);
    }

    fn give_up(&mut self, reason: GivenUp) {
        if !self.is_given_up {
            self.messages.give_up(reason);
        }
    }
}
