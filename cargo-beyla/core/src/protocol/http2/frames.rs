//! Bytes -> frames, in either direction.

use super::frame::{HEADER, Header, Kind, PREFACE, begins};
use super::side::{Block, BlockOf, Content, KEPT_MAX, Payload, Start, State};
use super::{Http2, exchange};
use crate::protocol::message::{GivenUp, Messages};
use crate::transport::segment::{Direction, Segment};

impl Http2 {
    /// A call begins with these bytes: a direction that is out of step goes on, if they begin frames.
    pub(super) fn step_in(&mut self, direction: Direction, bytes: &[u8]) {
        let is_first = self.last_opened == 0 && direction == Direction::Request;
        let side = self.side(direction);
        if !matches!(side.state, State::Lost) {
            return;
        }
        if is_first && bytes.starts_with(PREFACE) {
            // It was met before its first byte.
            *self = Self::default();
        } else if begins(bytes) {
            side.state = State::FRAME;
        }
    }

    /// Reads bytes that are known; `offset` is that of the first of them.
    pub(super) fn read(
        &mut self,
        mut input: &[u8],
        mut offset: u64,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) {
        let direction = segment.direction;
        while !input.is_empty() && self.is_reading {
            let side = self.side(direction);
            let read = match &mut side.state {
                State::Lost => return,
                State::Preface { matched } => {
                    let wanted = &PREFACE[*matched..];
                    let length = wanted.len().min(input.len());
                    if wanted[..length] != input[..length] {
                        self.is_reading = false;
                        messages.give_up(GivenUp::Unreadable);
                        return;
                    }
                    *matched += length;
                    if *matched == PREFACE.len() {
                        side.state = State::FRAME;
                    }
                    length
                }
                State::Header { bytes, length, start } => {
                    if *length == 0 {
                        *start = Start::of(segment, offset);
                    }
                    let (read, header) = match input.first_chunk() {
                        // As a rule all of it lies here.
                        Some(whole) if *length == 0 => (HEADER, Some(Header::parse(whole))),
                        _ => {
                            let read = (HEADER - *length).min(input.len());
                            bytes[*length..*length + read].copy_from_slice(&input[..read]);
                            *length += read;
                            (read, (*length == HEADER).then(|| Header::parse(bytes)))
                        }
                    };
                    if let Some(header) = header {
                        let start = *start;
                        self.begin_frame(direction, header, start, Some(segment), messages);
                    }
                    read
                }
                State::Payload(payload) => {
                    let length = input.len().min(payload.left as usize);
                    self.read_payload(&input[..length], segment, messages);
                    length
                }
            };
            offset = offset.saturating_add(read as u64);
            input = &input[read..];
        }
    }

    /// Bytes moved that cannot be read: in a call, or unseen.
    pub(super) fn hide(
        &mut self,
        direction: Direction,
        mut length: u64,
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        while length > 0 && self.is_reading {
            let side = self.side(direction);
            let State::Payload(payload) = &mut side.state else {
                return self.lose(direction, segment, messages);
            };
            let hidden = length.min(payload.left.into()) as u32;
            length -= u64::from(hidden);
            payload.left -= hidden;
            payload.is_cut = true;
            let (is_over, stream) = (payload.left == 0, payload.header.stream);
            if payload.header.kind == Kind::Data {
                let skipped = payload.content.skip(hidden);
                if let Some(stream) = self.streams.get_mut(&stream) {
                    match skipped {
                        Some(skipped) => stream.half(direction).content.skip(skipped.into()),
                        None => stream.half(direction).content.lose(),
                    }
                }
            }
            if is_over {
                let kept = std::mem::take(&mut self.side(direction).kept);
                self.end_frame(direction, &kept, segment, messages);
                self.keep_buffer(direction, kept);
            }
        }
    }

    /// The first bytes of a frame are known.
    fn begin_frame(
        &mut self,
        direction: Direction,
        header: Header,
        start: Start,
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        if !header.is_valid() {
            return self.lose(direction, segment, messages);
        }
        // Section 6.10: nothing comes between the frames of a header block.
        let side = self.side(direction);
        let goes_on = side
            .block
            .as_ref()
            .is_some_and(|block| header.kind == Kind::Continuation && header.stream == block.of.stream);
        if !goes_on && side.lose_block() && direction == Direction::Request {
            messages.unread();
        }
        let content = if header.is_padded() { Content::PaddingNext } else { Content::Left(header.length) };
        let payload = Payload { header, start, left: header.length, is_cut: false, content };
        self.side(direction).state = State::Payload(payload);
        if header.length == 0 {
            self.end_frame(direction, &[], segment, messages);
        }
    }

    /// Reads bytes of the payload at hand, and no more.
    fn read_payload(&mut self, bytes: &[u8], segment: &Segment<'_>, messages: &mut dyn Messages) {
        let direction = segment.direction;
        let side = match direction {
            Direction::Request => &mut self.requests,
            Direction::Response => &mut self.responses,
        };
        let State::Payload(payload) = &mut side.state else {
            return;
        };
        payload.left -= bytes.len() as u32;
        let is_over = payload.left == 0;
        match payload.header.kind {
            Kind::Data => {
                let content = payload.content.read(bytes, payload.header.length);
                if let Some(stream) = self.streams.get_mut(&payload.header.stream) {
                    stream.half(direction).content.read(content);
                }
                if is_over {
                    self.end_frame(direction, &[], Some(segment), messages);
                }
            }
            Kind::Headers
            | Kind::PushPromise
            | Kind::Continuation
            | Kind::RstStream
            | Kind::GoAway
            | Kind::Settings
            | Kind::WindowUpdate => {
                if is_over && side.kept.is_empty() && !payload.is_cut {
                    // It came as a whole: it is read where it lies.
                    return self.end_frame(direction, bytes, Some(segment), messages);
                }
                if !payload.is_cut {
                    let room = KEPT_MAX.saturating_sub(side.kept.len());
                    side.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    payload.is_cut = bytes.len() > room;
                }
                if is_over {
                    let kept = std::mem::take(&mut side.kept);
                    self.end_frame(direction, &kept, Some(segment), messages);
                    self.keep_buffer(direction, kept);
                }
            }
            Kind::Priority | Kind::Ping | Kind::Other => {
                if is_over {
                    self.end_frame(direction, &[], Some(segment), messages);
                }
            }
        }
    }

    /// A frame is whole; `bytes` are those of its payload that were kept. Without a segment its last bytes moved unseen.
    fn end_frame(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        segment: Option<&Segment<'_>>,
        messages: &mut dyn Messages,
    ) {
        let side = self.side(direction);
        let State::Payload(Payload { header, start, .. }) = std::mem::replace(&mut side.state, State::FRAME) else {
            return;
        };
        let frame_bytes = HEADER as u64 + u64::from(header.length);
        let time_ns = segment.map(|segment| segment.end_ns);
        match header.kind {
            Kind::Data => {
                let at = time_ns.unwrap_or(start.returned);
                match direction {
                    Direction::Response => self.content_sent(&header, at, messages),
                    Direction::Request if !header.ends_stream() && self.streams.contains_key(&header.stream) => {
                        messages.progress(exchange(header.stream));
                    }
                    Direction::Request => {}
                }
                if header.ends_stream() {
                    self.end_half(direction, header.stream, time_ns, messages);
                }
            }
            Kind::Headers | Kind::PushPromise => {
                let of = BlockOf {
                    stream: header.stream,
                    start,
                    size: frame_bytes,
                    ends_stream: header.ends_stream(),
                    is_promise: header.kind == Kind::PushPromise,
                };
                let fragment = header.fragment(bytes);
                let (bytes, is_whole) = fragment.map_or((&[][..], false), |found| (found.bytes, found.is_whole));
                if header.ends_headers() {
                    self.block(direction, of, bytes, is_whole, time_ns, messages);
                } else {
                    let mut block = Block { of, bytes: Vec::new(), is_whole: true };
                    block.add(bytes, is_whole);
                    side.block = Some(block);
                }
            }
            Kind::Continuation => {
                // Without a beginning it belongs to a block that went by before.
                let Some(mut block) = side.block.take() else { return side.hpack.lose() };
                block.of.size += frame_bytes;
                block.add(bytes, bytes.len() == header.length as usize);
                if header.ends_headers() {
                    self.block(direction, block.of, &block.bytes, block.is_whole, time_ns, messages);
                } else {
                    side.block = Some(block);
                }
            }
            Kind::RstStream => {
                let time_ns = segment.map_or(start.returned, |segment| segment.begin_ns);
                self.reset(direction, header.stream, time_ns, messages);
            }
            Kind::GoAway => {
                if let (Direction::Response, Some(last)) = (direction, bytes.first_chunk()) {
                    let time_ns = segment.map_or(start.returned, |segment| segment.begin_ns);
                    self.go_away(u32::from_be_bytes(*last) & (u32::MAX >> 1), time_ns, messages);
                }
            }
            Kind::Settings if direction == Direction::Request => {
                self.settings(&header, bytes, time_ns.unwrap_or(start.returned), messages);
            }
            Kind::WindowUpdate if direction == Direction::Request => {
                self.window_update(header.stream, bytes, time_ns.unwrap_or(start.returned), messages);
            }
            Kind::Settings | Kind::WindowUpdate | Kind::Priority | Kind::Ping | Kind::Other => {}
        }
    }

    fn keep_buffer(&mut self, direction: Direction, mut buffer: Vec<u8>) {
        buffer.clear();
        self.side(direction).kept = buffer;
    }
}
