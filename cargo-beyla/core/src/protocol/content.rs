//! The content of a message: counted, not kept.

use super::grpc::{Encoding, Ending, MessageCounter};

/// Counts the content of one message: its bytes and, of a gRPC call, the messages in it.
#[derive(Debug)]
pub(super) struct ContentCounter {
    /// Bytes so far; `None` where some of them moved unseen and nobody knows how many.
    length: Option<u64>,
    messages: Option<Box<MessageCounter>>,
    /// `grpc-status` in a head or in trailers.
    status: Option<u32>,
}

impl Default for ContentCounter {
    fn default() -> Self {
        Self { length: Some(0), messages: None, status: None }
    }
}

impl ContentCounter {
    /// The content consists of messages of gRPC.
    pub(super) fn count_messages(&mut self, encoding: Encoding) {
        self.messages = Some(MessageCounter::new(encoding).into());
    }

    /// The content does not consist of messages of gRPC after all, as when a proxy answers.
    pub(super) fn count_no_messages(&mut self) {
        self.messages = None;
    }

    /// A head or trailers may have a `grpc-status`.
    pub(super) fn note_status(&mut self, status: Option<u32>) {
        self.status = status.or(self.status);
    }

    /// Content that was captured.
    pub(super) fn read(&mut self, content: &[u8]) {
        self.add(content.len() as u64);
        if let Some(messages) = &mut self.messages {
            messages.read(content);
        }
    }

    /// Content that was not captured.
    pub(super) fn skip(&mut self, length: u64) {
        self.add(length);
        if let Some(messages) = &mut self.messages {
            messages.skip(length);
        }
    }

    /// Nobody knows how much content there is.
    pub(super) fn lose(&mut self) {
        self.length = None;
        if let Some(messages) = &mut self.messages {
            messages.lose();
        }
    }

    /// Bytes so far; `None` where some of them moved unseen and nobody knows how many.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// What it says of a gRPC call so far.
    pub(super) fn grpc(&self) -> Ending {
        let found = self.messages.as_ref().map(|messages| messages.ending()).unwrap_or_default();
        Ending { status: self.status.or(found.status), ..found }
    }

    fn add(&mut self, length: u64) {
        self.length = self.length.map(|sum| sum.saturating_add(length));
    }
}
