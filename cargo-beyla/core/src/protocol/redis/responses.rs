//! What a server answers.

use super::commands::is_pushed;
use super::resp::{Step, Values, begins};
use super::{Redis, Sort};
use crate::model::call::CallKind;
use crate::protocol::kept::Kept;
use crate::protocol::message::{ErrorCode, Messages};
use crate::protocol::pipeline::{Exchange, Start};
use crate::transport::segment::{Direction, Segment};

/// How much of a string is looked at for the code of an error or the word of a message, in bytes.
const WORD_MAX: usize = 32;

/// The direction of the answers.
#[derive(Debug)]
pub(super) struct Responses {
    values: Values,
    /// Where the answer at hand began, and its bytes so far.
    start: Start,
    bytes: u64,
    of: Of,
    /// The first string of an array, or of an error.
    word: Kept,
    is_word_next: bool,
    /// The first error within an array: of a command of a transaction that `EXEC` has carried out.
    inner_error: Option<ErrorCode>,
    is_lost: bool,
    /// When the last call returned, and whether its last bytes were the end of a line.
    last: Option<(u64, bool)>,
}

/// What the value at hand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// It is not known yet.
    Open,
    /// The answer to a command.
    Answer,
    /// An answer that says that the command failed.
    Error,
    /// Nobody has asked for it.
    Push,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            values: Values::new(false),
            start: Start::default(),
            bytes: 0,
            of: Of::Open,
            word: Kept::default(),
            is_word_next: false,
            inner_error: None,
            is_lost: false,
            last: None,
        }
    }
}

impl Responses {
    pub(super) fn lost() -> Self {
        Self { is_lost: true, ..Self::default() }
    }
}

impl Redis {
    /// A call begins with these bytes: if the direction is out of step, it goes on where they are an answer and no
    /// answer is under way.
    pub(super) fn responses_go_on(&mut self, bytes: &[u8]) {
        let is_between = !self.pipeline.iter().any(Exchange::is_doubtful);
        if self.responses.is_lost && is_between && begins(bytes) {
            self.responses = Responses::default();
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    pub(super) fn read_responses(
        &mut self,
        bytes: &[u8],
        offset: u64,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) {
        let mut input = bytes;
        loop {
            if self.responses.is_lost {
                return self.count_lost(input.len() as u64);
            }
            let responses = &mut self.responses;
            if responses.bytes == 0 {
                responses.start = Start::of(segment, offset + (bytes.len() - input.len()) as u64);
            }
            let before = input.len();
            let step = responses.values.next(&mut input);
            responses.bytes += (before - input.len()) as u64;
            match step {
                Ok(Some(step)) => self.response_step(step, messages),
                Ok(None) => return,
                Err(_) => {
                    self.lose_responses();
                    continue;
                }
            }
            if self.responses.values.take_ended() {
                self.answered(Some(segment.end_ns), messages);
            }
        }
    }

    fn response_step(&mut self, step: Step<'_>, messages: &mut dyn Messages) {
        let is_subscribed = self.is_subscribed;
        let responses = &mut self.responses;
        let depth = responses.values.depth();
        match step {
            Step::Type(b'|') => {}
            Step::Type(kind) if depth == 0 => {
                responses.word.clear();
                responses.inner_error = None;
                responses.is_word_next = matches!(kind, b'!' | b'*');
                responses.of = match kind {
                    b'>' => Of::Push,
                    b'-' | b'!' => Of::Error,
                    b'*' if is_subscribed => Of::Open,
                    _ => Of::Answer,
                };
                if matches!(responses.of, Of::Answer | Of::Error) {
                    self.answer_begins(messages);
                }
            }
            Step::Line(b'-', _) if responses.of == Of::Error => {
                responses.word.add(responses.values.line(), WORD_MAX);
            }
            Step::Line(b'-', _) => {
                responses.inner_error.get_or_insert(ErrorCode::new(responses.values.line()));
            }
            Step::Bytes(bytes) if responses.is_word_next => responses.word.add(bytes, WORD_MAX),
            Step::End => responses.is_word_next = false,
            Step::Type(_) | Step::Line(..) | Step::Bytes(_) => {}
        }
    }

    /// The first byte of an answer has come.
    fn answer_begins(&mut self, messages: &mut dyn Messages) {
        let start = self.responses.start;
        if let Some(front) = self.pipeline.front() {
            front.respond(start, None, messages);
        }
    }

    /// A value of the server is whole.
    fn answered(&mut self, end_ns: Option<u64>, messages: &mut dyn Messages) {
        let responses = &mut self.responses;
        let bytes = std::mem::take(&mut responses.bytes);
        if responses.of == Of::Open && !is_pushed(&responses.word) {
            responses.of = Of::Answer;
            self.answer_begins(messages);
        }
        let responses = &mut self.responses;
        let of = std::mem::replace(&mut responses.of, Of::Open);
        let inner_error = responses.inner_error.take();
        let error = if of == Of::Error { Some(ErrorCode::new(&responses.word)) } else { inner_error };
        responses.word.clear();
        if !matches!(of, Of::Answer | Of::Error) {
            return;
        }
        let start = responses.start;
        let Some(front) = self.pipeline.front() else { return };
        match front.own.clone() {
            // However many were asked for.
            Sort::Unseen => return,
            Sort::Opening(summary) => {
                // Clients say who they are to servers that do not know the command.
                if error.is_some() && !summary.starts_with("CLIENT") {
                    self.pipeline.announce(0, (CallKind::Redis, &summary, Some(&summary)), messages);
                    if let Some(front) = self.pipeline.front() {
                        front.respond(start, None, messages);
                    }
                } else if let Some(end_ns) = end_ns {
                    messages.ready(end_ns);
                }
            }
            Sort::Command => {}
        }
        if let Some(front) = self.pipeline.front() {
            front.count(Direction::Response, bytes);
            front.ending.error = error;
        }
        self.pipeline.end_front(end_ns, messages);
    }

    pub(super) fn hide_responses(&mut self, length: u64, end_ns: Option<u64>, messages: &mut dyn Messages) {
        if self.responses.is_lost {
            return self.count_lost(length);
        }
        self.responses.bytes += length;
        match self.responses.values.skip(length) {
            Ok(false) => {}
            Ok(true) => {
                self.responses.is_word_next = false;
                if self.responses.values.take_ended() {
                    self.answered(end_ns, messages);
                }
            }
            Err(_) => self.lose_responses(),
        }
    }

    /// A call has moved answers.
    pub(super) fn end_call(&mut self, segment: &Segment<'_>) {
        let ends_line = segment
            .pieces()
            .last()
            .is_some_and(|(offset, bytes)| offset + bytes.len() as u64 == segment.end() && bytes.ends_with(b"\n"));
        self.responses.last = Some((segment.end_ns, ends_line));
    }

    /// Where the next answer begins is not known.
    fn lose_responses(&mut self) {
        let bytes = self.responses.bytes;
        self.responses = Responses { last: self.responses.last, ..Responses::lost() };
        if self.pipeline.len() > 1 {
            self.pipeline.lose_responses();
        } else if let Some(front) = self.pipeline.front() {
            front.doubt();
            front.count(Direction::Response, bytes);
        }
    }

    /// Bytes of answers that are out of step: those of the answer to a command, if it is the only one.
    fn count_lost(&mut self, length: u64) {
        if self.pipeline.len() == 1
            && let Some(front) = self.pipeline.front()
        {
            front.count(Direction::Response, length);
        }
    }

    /// The next command comes, or nothing: answers that may have gone by unseen have.
    pub(super) fn settle(&mut self, messages: &mut dyn Messages) {
        let is_single = self.pipeline.len() == 1;
        let Some(front) = self.pipeline.front().filter(|front| front.is_doubtful()) else { return };
        let is_answered = front.is_answered();
        match self.responses.last {
            Some((end_ns, true)) if is_single && is_answered => self.pipeline.end_front(Some(end_ns), messages),
            _ => self.miss_all(messages),
        }
    }
}
