//! Header blocks -> heads and trailers: RFC 9113, section 8.1.

use super::fields::Fields;
use super::side::BlockOf;
use super::stream::Stream;
use super::{Http2, STREAMS_MAX, exchange};
use crate::model::request::UNREAD;
use crate::protocol::message::{MessageEnd, Messages, Note, RequestHead, ResponseHead};
use crate::transport::segment::Direction;

impl Http2 {
    /// A header block has ended; it `is_whole` if all of its bytes were captured. The call that moved its last byte
    /// returned at `time_ns`.
    pub(super) fn block(
        &mut self,
        direction: Direction,
        of: BlockOf,
        bytes: &[u8],
        is_whole: bool,
        time_ns: Option<u64>,
        messages: &mut dyn Messages,
    ) {
        let side = match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        };
        let fields = &mut self.fields;
        fields.clear();
        let decoded = side.hpack.decode(bytes, Fields::want, |field| fields.take(field));
        if decoded.is_err() || !is_whole {
            fields.is_partial = true;
            side.hpack.lose();
        }
        match direction {
            Direction::Request => self.request_block(of, time_ns, messages),
            Direction::Response if of.is_promise => messages.note(Note::Pushed),
            Direction::Response => self.response_block(of, time_ns, messages),
        }
    }

    /// What a client sends: a head that opens a stream, or trailers.
    fn request_block(&mut self, of: BlockOf, time_ns: Option<u64>, messages: &mut dyn Messages) {
        if self.streams.contains_key(&of.stream) {
            if of.ends_stream {
                self.end_half(Direction::Request, of.stream, time_ns, messages);
            }
            return;
        }
        // Section 5.1.1: a client's streams have odd numbers that grow. What comes for others came too late.
        if of.stream.is_multiple_of(2) || of.stream <= self.last_opened {
            return;
        }
        if !self.fields.is_request() {
            // Trailers of a request from before, unless it is not known what it is.
            if self.fields.is_partial {
                self.last_opened = of.stream;
                messages.unread();
            }
            return;
        }
        self.last_opened = of.stream;
        if self.streams.len() >= STREAMS_MAX && !self.make_room(messages) {
            return messages.unread();
        }
        let exchange = exchange(of.stream);
        let fields = &self.fields;
        if fields.is_partial {
            messages.note(Note::PartialHead);
        }
        let (path, query) = fields.target();
        let grpc = fields.grpc();
        messages.request(
            exchange,
            &RequestHead {
                protocol: "http/2",
                method: fields.method().unwrap_or(UNREAD),
                path,
                query,
                bytes: of.size,
                arrived_ns: of.start.arrived,
                read_ns: of.start.entered,
                trace: fields.trace(),
                grpc,
            },
        );
        let is_connect = fields.is_connect();
        self.streams.insert(of.stream, Stream::opened(is_connect, grpc, self.windows.initial()));
        if of.stream > self.last_taken {
            // The server has said that it takes no more.
            self.reset(Direction::Response, of.stream, of.start.returned, messages);
        } else if of.ends_stream || is_connect {
            self.end_half(Direction::Request, of.stream, time_ns, messages);
        } else {
            messages.progress(exchange);
        }
    }

    /// What a server sends: a head, one of those before the final one, or trailers.
    fn response_block(&mut self, of: BlockOf, time_ns: Option<u64>, messages: &mut dyn Messages) {
        let exchange = exchange(of.stream);
        let fields = &self.fields;
        let Some(stream) = self.streams.get_mut(&of.stream).filter(|stream| !stream.response.is_ended) else {
            return;
        };
        let is_head = !stream.response.has_head;
        if is_head && fields.status.is_some_and(|status| status < 200) && !of.ends_stream {
            return;
        }
        stream.is_doubtful = false;
        stream.response.content.note_status(fields.grpc_status);
        if is_head {
            stream.response.has_head = true;
            match fields.grpc() {
                Some(call) if stream.is_grpc => stream.response.content.count_messages(call.encoding),
                None if !fields.is_partial => stream.response.content.count_no_messages(),
                _ => {}
            }
            if fields.is_partial {
                messages.note(Note::PartialHead);
            }
            let (arrived_ns, begin_ns) = (of.start.arrived, of.start.entered);
            let head = ResponseHead { status: fields.status, bytes: of.size, arrived_ns, begin_ns };
            messages.response(exchange, &head);
            if stream.is_connect && fields.status.is_some_and(|status| (200..300).contains(&status)) {
                // What follows is another protocol's (section 8.5, RFC 8441).
                messages.end(exchange, Direction::Response, &MessageEnd::of(&stream.response.content, time_ns));
                messages.note(Note::Tunnel);
                self.streams.remove(&of.stream);
                return;
            }
        }
        if of.ends_stream {
            self.end_half(Direction::Response, of.stream, time_ns, messages);
        }
    }

    /// Lets go of the streams whose responses may have gone by unseen. Whether there were any.
    fn make_room(&mut self, messages: &mut dyn Messages) -> bool {
        if !std::mem::take(&mut self.any_doubtful) {
            return false;
        }
        let doubtful = self.streams.iter().filter(|(_, stream)| stream.is_doubtful);
        let mut doubtful: Vec<_> = doubtful.map(|(&number, _)| number).collect();
        doubtful.sort_unstable();
        for number in &doubtful {
            self.streams.remove(number);
            messages.unseen(exchange(*number));
        }
        !doubtful.is_empty()
    }
}
