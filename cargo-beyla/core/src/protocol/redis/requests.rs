//! What a client asks for.

use super::asked::Asked;
use super::commands::Known;
use super::resp::{INLINE, Step, Values, command_likeness};
use super::{PENDING_MAX, Redis, Sort};
use crate::model::call::CallKind;
use crate::protocol::candidate::Likeness;
use crate::protocol::message::Messages;
use crate::protocol::pipeline::Start;
use crate::transport::segment::{Direction, Segment};

/// The direction of the requests.
#[derive(Debug)]
pub(super) struct Requests {
    values: Values,
    asked: Asked,
    /// Where the command at hand began, and its bytes so far.
    start: Start,
    bytes: u64,
    is_lost: bool,
}

impl Requests {
    /// Behind these bytes of the first command, which are the beginning of an array or of a line.
    pub(super) fn after(held: &[u8], start: Option<Start>) -> Self {
        let mut requests = Self {
            values: Values::new(true),
            asked: Asked::new(),
            start: start.unwrap_or_default(),
            bytes: held.len() as u64,
            is_lost: false,
        };
        let mut input = held;
        while let Ok(Some(step)) = requests.values.next(&mut input) {
            requests.is_lost |= !requests.step(step);
        }
        requests
    }

    pub(super) fn lost() -> Self {
        Self { is_lost: true, ..Self::after(&[], None) }
    }

    fn begin_again(&mut self) {
        *self = Self::after(&[], None);
    }

    /// Whether a command may consist of such steps.
    fn step(&mut self, step: Step<'_>) -> bool {
        match step {
            Step::Type(kind) => {
                return if self.values.depth() == 0 { matches!(kind, b'*' | INLINE) } else { kind == b'$' };
            }
            Step::Line(INLINE, _) => self.asked = Asked::inline(self.values.line()),
            Step::Line(b'*', _) => {}
            Step::Line(_, length) => return length.is_some(),
            Step::Bytes(bytes) => self.asked.bytes(bytes),
            Step::End => self.asked.end_argument(),
        }
        true
    }
}

impl Redis {
    /// A call begins with these bytes: if the direction is out of step, it goes on where they are a command.
    pub(super) fn requests_go_on(&mut self, bytes: &[u8]) {
        if self.requests.is_lost && command_likeness(bytes) == Likeness::Whole {
            self.requests.begin_again();
            // Whoever sends another command by itself has had the answers before.
            if self.pipeline.back().is_some_and(|back| back.own == Sort::Unseen) {
                self.pipeline.drop_back();
            }
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    pub(super) fn read_requests(
        &mut self,
        bytes: &[u8],
        offset: u64,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) {
        let mut input = bytes;
        while self.is_reading && !self.requests.is_lost {
            let requests = &mut self.requests;
            if requests.bytes == 0 {
                requests.start = Start::of(segment, offset + (bytes.len() - input.len()) as u64);
            }
            let before = input.len();
            let step = requests.values.next(&mut input);
            requests.bytes += (before - input.len()) as u64;
            match step {
                Ok(Some(step)) if requests.step(step) => {}
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => return self.lose_requests(true, messages),
            }
            if self.requests.values.take_ended() {
                self.asked(Some(segment.end_ns), messages);
            }
        }
    }

    pub(super) fn hide_requests(&mut self, length: u64, end_ns: Option<u64>, messages: &mut dyn Messages) {
        if self.requests.is_lost {
            return;
        }
        self.requests.bytes += length;
        match self.requests.values.skip(length) {
            Ok(false) => {}
            Ok(true) => {
                self.requests.asked.end_argument();
                if self.requests.values.take_ended() {
                    self.asked(end_ns, messages);
                }
            }
            Err(_) => self.lose_requests(end_ns.is_some(), messages),
        }
    }

    /// A command is whole.
    fn asked(&mut self, end_ns: Option<u64>, messages: &mut dyn Messages) {
        let (start, bytes) = (self.requests.start, std::mem::take(&mut self.requests.bytes));
        let asked = std::mem::replace(&mut self.requests.asked, Asked::new());
        if asked.is_empty() {
            return;
        }
        match asked.known() {
            Known::TakesOver => return self.give_up(messages),
            Known::Subscription => {
                self.is_subscribed = true;
                self.is_opening = false;
                return;
            }
            _ if asked.changes_replies() || self.pipeline.len() >= PENDING_MAX => return self.give_up(messages),
            _ => {}
        }
        self.settle(messages);
        self.is_opening &= asked.opens();
        let summary = asked.summary();
        let sort = if self.is_opening { Sort::Opening(summary.as_str().into()) } else { Sort::Command };
        self.pipeline.push(start, sort).count(Direction::Request, bytes);
        if !self.is_opening {
            let last = self.pipeline.len() - 1;
            self.pipeline.announce(last, (CallKind::Redis, &summary, Some(&asked.text())), messages);
        }
        if let Some(exchange) = self.pipeline.back() {
            exchange.end_request(end_ns, messages);
        }
    }

    /// Where the next command begins is not known.
    fn lose_requests(&mut self, in_call: bool, messages: &mut dyn Messages) {
        self.requests = Requests::lost();
        self.is_opening = false;
        if self.pipeline.back().is_none_or(|back| back.own != Sort::Unseen) {
            self.pipeline.push(Start::default(), Sort::Unseen);
        }
        if in_call {
            messages.unread();
        }
    }
}
