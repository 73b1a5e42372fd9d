//! How streams end: RFC 9113, section 5.1.

use super::side::State;
use super::{Http2, exchange};
use crate::model::connection::Party;
use crate::protocol::message::{MessageEnd, Messages};
use crate::transport::segment::{Direction, Segment};

impl Http2 {
    /// One direction of a stream is whole.
    pub(super) fn end_half(
        &mut self,
        direction: Direction,
        number: u32,
        time_ns: Option<u64>,
        messages: &mut dyn Messages,
    ) {
        let exchange = exchange(number);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let half = stream.half(direction);
        if half.is_ended {
            return;
        }
        half.is_ended = true;
        if direction == Direction::Response {
            stream.is_doubtful = false;
            if !stream.response.has_head {
                // It was among what was not captured.
                self.streams.remove(&number);
                messages.unseen(exchange);
                return;
            }
            let request = &mut stream.request;
            if !request.is_ended && request.content.length().is_none() {
                // Its end may have been as well, and hardly comes behind the response.
                request.is_ended = true;
                messages.end(exchange, Direction::Request, &MessageEnd::of(&request.content, None));
            }
        }
        messages.end(exchange, direction, &MessageEnd::of(&stream.half(direction).content, time_ns));
        if stream.is_closed() {
            self.streams.remove(&number);
        }
    }

    /// `RST_STREAM`: section 6.4. The response may be whole already; then the rest of the request does not come.
    pub(super) fn reset(&mut self, direction: Direction, number: u32, time_ns: u64, messages: &mut dyn Messages) {
        if let Some(stream) = self.streams.remove(&number) {
            messages.reset(exchange(number), sender(direction), time_ns, &stream.unfinished());
        }
    }

    /// GOAWAY of the server: section 6.8. Nothing happens on the streams behind the last that it takes.
    pub(super) fn go_away(&mut self, last: u32, time_ns: u64, messages: &mut dyn Messages) {
        if last >= self.last_taken {
            return;
        }
        self.last_taken = last;
        let mut refused: Vec<_> = self.streams.keys().copied().filter(|&stream| stream > last).collect();
        refused.sort_unstable();
        for stream in refused {
            self.reset(Direction::Response, stream, time_ns, messages);
        }
    }

    /// Where the next frame of a direction begins is not known: bytes were not captured or are no frames. They moved in
    /// the call of `segment`, or unseen.
    pub(super) fn lose(&mut self, direction: Direction, segment: Option<&Segment<'_>>, messages: &mut dyn Messages) {
        let side = self.side(direction);
        if matches!(side.state, State::Lost) {
            return;
        }
        side.lose();
        self.lose_windows(segment.map_or(0, |segment| segment.begin_ns), messages);
        self.any_doubtful |= direction == Direction::Response;
        for stream in self.streams.values_mut() {
            let half = stream.half(direction);
            if !half.is_ended {
                if half.has_head {
                    half.content.lose();
                }
                stream.is_doubtful |= direction == Direction::Response;
            }
        }
        if direction == Direction::Request && segment.is_some() {
            messages.unread();
        }
    }
}

/// Who sends in a direction.
fn sender(direction: Direction) -> Party {
    match direction {
        Direction::Request => Party::Client,
        Direction::Response => Party::Server,
    }
}
