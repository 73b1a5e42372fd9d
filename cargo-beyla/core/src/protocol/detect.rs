//! Chooses the protocol of a connection by the first bytes of either side.
//!
//! A new protocol is one folder and one line in `PROTOCOLS`. What none of them recognises is HTTP/1's: whether bytes
//! are HTTP/1 that is broken, only an answer in HTTP/1 tells. So HTTP/1 reads along until another protocol is
//! recognised, and even then until the server has spoken: a server that does not know what the client speaks says so
//! in HTTP/1.
//!
//! On a connection that the traced process opened, more protocols are known, and the server need not speak HTTP at all:
//! what no request line begins is none of HTTP/1's, nor is what has no status line for its answer. It is read as turns.

mod foreign;
mod unsupported;
mod view;

use super::candidate::{Beginning, Candidate, Likeness};
use super::http1::{self, Http1};
use super::http2;
use super::message::{Messages, Protocol, Shared, Unfinished, Upgrade};
use super::pipeline::Start;
use super::tcp::Tcp;
use super::{mongodb, mysql, postgresql, proxy, redis};
use crate::model::connection::{Endpoint, StreamId};
use crate::transport::segment::{Direction, Segment};
use foreign::Foreign;
use view::View;

/// The protocols beside HTTP/1 that a server is asked in. TLS is none of them: who speaks it to a server that does not is
/// recognised here.
const PROTOCOLS: &[Candidate] = &[http2::CANDIDATE, unsupported::TLS];

/// The protocols beside HTTP/1 that a client asks in.
const CLIENT_PROTOCOLS: &[Candidate] = &[
    http2::CANDIDATE,
    unsupported::TLS,
    mysql::CANDIDATE,
    postgresql::CANDIDATE,
    redis::CANDIDATE,
    mongodb::CANDIDATE,
];

/// What numbers of HTTP/1 exchanges begin behind where another protocol has begun to number them: those of HTTP/2 have
/// 31 bits.
const OVERRULED: u64 = 1 << 32;

/// Reads one connection, in the protocol that it turns out to speak.
#[derive(Debug)]
pub struct Detector {
    candidates: &'static [Candidate],
    opening: Opening,
    reader: Box<dyn Protocol>,
    /// HTTP/1, as long as another protocol reads and the server has not spoken.
    fallback: Option<Box<dyn Protocol>>,
    /// Whether any bytes have come from the client.
    begun: bool,
    /// Whether it was said why the connection is not read.
    is_given_up: bool,
    /// Whether only turns are read, of what is sealed.
    is_sealed: bool,
    /// What is added to the reader's numbers of exchanges.
    numbered_behind: u64,
    /// Of a connection that the traced process opened: what has come that may be none of HTTP's.
    foreign: Option<Foreign>,
}

/// How far the beginning of a connection is known.
#[derive(Debug)]
enum Opening {
    /// The client has sent these bytes, which may become the beginning of several protocols.
    Open { held: Vec<u8>, may_be_proxied: bool },
    /// The server that the traced process has connected to speaks first: these bytes, which may become the beginning of
    /// several protocols, the first of them at `start`.
    Greeted { held: Vec<u8>, start: Start },
    /// A proxy has said who is behind it, and adds to that: bytes that are still to come.
    Proxied { left: u64 },
    /// It was met in its midst, and nothing that was recognised has come since.
    Joined,
    /// The protocol is chosen.
    Known,
}

impl Opening {
    fn first(may_be_proxied: bool) -> Self {
        Self::Open { held: Vec::new(), may_be_proxied }
    }
}

impl Default for Detector {
    /// Of a connection that is seen from its beginning.
    fn default() -> Self {
        Self::among(PROTOCOLS)
    }
}

impl Detector {
    /// Of a connection that was met in its midst.
    pub fn joined() -> Self {
        Self::joined_among(PROTOCOLS)
    }

    /// Of a connection that the traced process opened to this server. It `is_joined` if it was met in its midst.
    pub fn client(server: &Endpoint, is_joined: bool) -> Self {
        let foreign = Some(Foreign::of(server));
        let among = if is_joined { Self::joined_among } else { Self::among };
        Self { foreign, ..among(CLIENT_PROTOCOLS) }
    }

    fn among(candidates: &'static [Candidate]) -> Self {
        Self {
            candidates,
            opening: Opening::first(true),
            reader: Box::new(Http1::new(candidates)),
            fallback: None,
            begun: false,
            is_given_up: false,
            is_sealed: false,
            numbered_behind: 0,
            foreign: None,
        }
    }

    fn joined_among(candidates: &'static [Candidate]) -> Self {
        let reader = Box::new(Http1::joined(candidates));
        Self { opening: Opening::Joined, reader, ..Self::among(candidates) }
    }

    /// An operation moved bytes.
    pub fn segment(&mut self, segment: &Segment<'_>, shared: &mut Shared, messages: &mut dyn Messages) {
        if !self.is_reading() {
            return;
        }
        if matches!(self.opening, Opening::Known) && self.fallback.is_none() {
            self.read(segment, shared, messages);
        } else {
            match segment.direction {
                Direction::Request => self.client_speaks(segment, shared, messages),
                Direction::Response => self.server_speaks(segment, shared, messages),
            }
        }
        self.begun |= segment.direction == Direction::Request;
    }

    /// An operation moved bytes that are sealed, and stay so: turns are what can be told of them.
    pub fn sealed(&mut self, segment: &Segment<'_>, shared: &mut Shared, messages: &mut dyn Messages) {
        if !std::mem::replace(&mut self.is_sealed, true) {
            self.stop(messages);
            (self.opening, self.foreign) = (Opening::Known, None);
            self.reader = Box::new(Tcp::default());
            if self.begun {
                self.numbered_behind = OVERRULED;
            }
        }
        self.read(segment, shared, messages);
        self.begun |= segment.direction == Direction::Request;
    }

    /// Bytes moved without a record.
    pub fn gap(&mut self, direction: Direction, mut length: u64, messages: &mut dyn Messages) {
        if !self.is_reading() || length == 0 {
            return;
        }
        if matches!(self.opening, Opening::Greeted { .. }) {
            self.opening = Opening::Joined;
        }
        if direction == Direction::Request {
            self.begun = true;
            length -= self.pass_over_proxied(length);
            if length > 0 && matches!(self.opening, Opening::Open { .. }) {
                self.opening = if self.foreign.is_some() { Opening::Joined } else { Opening::Known };
            }
        }
        if let Some(fallback) = &mut self.fallback {
            fallback.gap(direction, length, messages);
        }
        let mut view = self.view(messages);
        self.reader.gap(direction, length, &mut view);
    }

    /// Nothing follows any more.
    pub fn stop(&mut self, messages: &mut dyn Messages) {
        self.fallback = None;
        let mut view = self.view(messages);
        self.reader.stop(&mut view);
    }

    /// As [`Protocol::unfinished`].
    pub fn unfinished(&self, stream: StreamId) -> Unfinished {
        self.own(stream).map_or(Unfinished::UNKNOWN, |stream| self.reader.unfinished(stream))
    }

    /// As [`Protocol::awaits_content`].
    pub fn awaits_content(&self) -> bool {
        self.reader.awaits_content()
    }

    /// As [`Protocol::announced_content`].
    pub fn announced_content(&self) -> u64 {
        self.reader.announced_content()
    }

    /// As [`Protocol::response_begun`].
    pub fn response_begun(&self) -> Option<(StreamId, u64)> {
        let (StreamId(stream), begin_ns) = self.reader.response_begun()?;
        Some((StreamId(stream + self.numbered_behind), begin_ns))
    }

    /// As [`Protocol::answers_in_order`].
    pub fn answers_in_order(&self) -> bool {
        self.reader.answers_in_order()
    }

    /// Whether the connection is still read; if not, it has been given up or taken over.
    pub fn is_reading(&self) -> bool {
        self.reader.is_reading() || self.fallback.is_some()
    }

    /// Whether any bytes have come from the client.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// The reader's own number of an exchange, if it is one of the reader's.
    fn own(&self, StreamId(stream): StreamId) -> Option<StreamId> {
        stream.checked_sub(self.numbered_behind).filter(|&own| own > 0).map(StreamId)
    }

    fn view<'a>(&self, messages: &'a mut dyn Messages) -> View<'a> {
        View::new(messages, self.numbered_behind, self.is_given_up)
    }

    /// The reader reads on; another takes its place if it hands the connection over.
    fn read(&mut self, segment: &Segment<'_>, shared: &mut Shared, messages: &mut dyn Messages) {
        let upgrade = if self.numbered_behind == 0 && !self.is_given_up {
            self.reader.segment(segment, shared, messages)
        } else {
            let mut view = self.view(messages);
            self.reader.segment(segment, shared, &mut view)
        };
        if let Some(upgrade) = upgrade {
            self.upgrade(&upgrade, segment, shared, messages);
        }
    }

    fn upgrade(&mut self, upgrade: &Upgrade, segment: &Segment<'_>, shared: &mut Shared, messages: &mut dyn Messages) {
        let Some(candidate) = self.candidates.iter().find(|candidate| candidate.token == Some(upgrade.token)) else {
            return;
        };
        self.reader = (candidate.open)(&Beginning::Upgraded(upgrade));
        // The new protocol's first exchange is the one that asked for it.
        self.numbered_behind += upgrade.stream.0 - 1;
        let rest = segment.from(upgrade.response_from);
        if rest.length() > 0 {
            self.read(&rest, shared, messages);
        }
    }

    /// Bytes of the client come while it is not known yet what it speaks, or whether the server speaks that.
    fn client_speaks(&mut self, segment: &Segment<'_>, shared: &mut Shared, messages: &mut dyn Messages) {
        let passed_over = self.pass_over_proxied(segment.length());
        let segment = &segment.from(segment.start.saturating_add(passed_over));
        if segment.length() == 0 {
            return;
        }
        match &mut self.opening {
            Opening::Open { held, may_be_proxied } => {
                let before = held.len();
                let is_whole = hold(held, segment);
                let proxy = if *may_be_proxied { proxy::read(held) } else { proxy::Read::None };
                if let proxy::Read::Header { length, client } = proxy {
                    if let Some(client) = client {
                        messages.client(client);
                    }
                    self.opening = Opening::Proxied { left: (length - before) as u64 };
                    self.reader = Box::new(Http1::new(self.candidates));
                    return self.client_speaks(segment, shared, messages);
                }
                *may_be_proxied = proxy == proxy::Read::Partial;
                let (mut likeness, candidate) = recognise(self.candidates, Direction::Request, held);
                let first_start = Start::of(segment, segment.start);
                let start = self.foreign.as_ref().and_then(Foreign::start).or(Some(first_start));
                let beginning = Beginning::First { held: &held[..before], start };
                if let (Likeness::Whole, Some(candidate)) = (likeness, candidate) {
                    let reader = (candidate.open)(&beginning);
                    let http1 = std::mem::replace(&mut self.reader, reader);
                    self.fallback = Some(http1).filter(|_| self.foreign.is_none());
                } else if let Some(foreign) = &mut self.foreign {
                    likeness = likeness.max(http1::request_likeness(held));
                    if likeness == Likeness::None && !*may_be_proxied {
                        self.reader = foreign.reader(held, &beginning, messages);
                    }
                    foreign.sent(segment);
                }
                let is_open = *may_be_proxied || likeness == Likeness::Partial;
                if !is_open || !is_whole {
                    self.opening = Opening::Known;
                }
            }
            Opening::Joined if !self.begun && proxy::begins(segment.beginning()) => {
                // It was met before its first byte.
                self.opening = Opening::first(true);
                self.reader = Box::new(Http1::new(self.candidates));
                return self.client_speaks(segment, shared, messages);
            }
            Opening::Joined => {
                self.resume(segment);
                if let Some(foreign) = &mut self.foreign {
                    foreign.sent(segment);
                }
            }
            Opening::Greeted { .. } => {
                // What the server has said begins nothing that is known.
                if let Some(foreign) = &mut self.foreign {
                    self.reader = foreign.turns(messages);
                }
                self.opening = Opening::Known;
            }
            Opening::Proxied { .. } | Opening::Known => {}
        }
        if let Some(fallback) = &mut self.fallback {
            // It takes these bytes for a broken request, and says nothing of that before the server answers.
            fallback.segment(segment, shared, messages);
        }
        self.read(segment, shared, messages);
    }

    /// Bytes of the server come while it is not known yet what the client speaks, or whether the server speaks that.
    fn server_speaks(&mut self, segment: &Segment<'_>, shared: &mut Shared, messages: &mut dyn Messages) {
        if let Some(fallback) = &mut self.fallback {
            if segment.beginning().is_empty() {
                fallback.segment(segment, shared, messages);
            } else if http1::may_begin_response(segment.beginning()) {
                self.overrule();
            } else {
                self.fallback = None;
            }
        } else {
            match &mut self.opening {
                Opening::Open { .. } if !self.begun => {
                    if self.server_begins(Vec::new(), Start::of(segment, segment.start), segment, messages) {
                        return;
                    }
                }
                Opening::Greeted { held, start } => {
                    let (held, start) = (std::mem::take(held), *start);
                    if self.server_begins(held, start, segment, messages) {
                        return;
                    }
                }
                Opening::Open { held, .. } if !held.is_empty() => {
                    self.opening = Opening::Known;
                    self.answered_in_http1_or_not(segment.beginning(), messages);
                }
                Opening::Joined => {
                    self.resume(segment);
                    if matches!(self.opening, Opening::Joined) && self.begun {
                        self.answered_in_http1_or_not(segment.beginning(), messages);
                    }
                }
                Opening::Open { .. } | Opening::Proxied { .. } | Opening::Known => {}
            }
        }
        self.read(segment, shared, messages);
    }

    /// The server speaks first, from `start` on, and has said `held` before these bytes. Whether they are too few to tell
    /// what it speaks.
    fn server_begins(
        &mut self,
        mut held: Vec<u8>,
        start: Start,
        segment: &Segment<'_>,
        messages: &mut dyn Messages,
    ) -> bool {
        let before = held.len();
        let is_whole = hold(&mut held, segment);
        match recognise(self.candidates, segment.direction, &held) {
            (Likeness::Whole, Some(candidate)) => {
                self.reader = (candidate.open)(&Beginning::First { held: &held[..before], start: Some(start) });
                self.opening = Opening::Known;
            }
            (Likeness::Partial, _) if is_whole && self.foreign.is_some() => {
                self.opening = Opening::Greeted { held, start };
                return true;
            }
            _ => self.answered_in_http1_or_not(&held, messages),
        }
        false
    }

    /// The server says these bytes on a connection that the traced process opened, and whose protocol is not known yet.
    fn answered_in_http1_or_not(&mut self, bytes: &[u8], messages: &mut dyn Messages) {
        let Some(foreign) = &mut self.foreign else { return };
        if http1::may_begin_response(bytes) {
            self.foreign = None;
        } else {
            self.reader = foreign.turns(messages);
            self.opening = Opening::Known;
        }
    }

    /// The server answers in HTTP/1 to what was taken for another protocol.
    fn overrule(&mut self) {
        if let Some(http1) = self.fallback.take() {
            self.is_given_up = !self.reader.is_reading();
            self.numbered_behind = OVERRULED;
            self.reader = http1;
        }
    }

    /// An operation begins on a connection that was met in its midst.
    fn resume(&mut self, segment: &Segment<'_>) {
        let resumes = |candidate: &&Candidate| (candidate.resumes)(segment.direction, segment.beginning());
        if let Some(candidate) = self.candidates.iter().find(resumes) {
            self.reader = (candidate.open)(&Beginning::Midst);
            self.opening = Opening::Known;
        } else if segment.direction == Direction::Request && http1::begins_request(segment.beginning()) {
            self.opening = Opening::Known;
        }
    }

    /// How many of the bytes that the client sends next are what a proxy has added.
    fn pass_over_proxied(&mut self, length: u64) -> u64 {
        let Opening::Proxied { left } = &mut self.opening else { return 0 };
        let passed_over = length.min(*left);
        *left -= passed_over;
        if *left == 0 {
            self.opening = Opening::first(false);
        }
        passed_over
    }
}

/// Adds what is known of a segment's first bytes without a gap, as far as there is room. Whether that is all of them.
fn hold(held: &mut Vec<u8>, segment: &Segment<'_>) -> bool {
    let mut end = segment.start;
    for (offset, bytes) in segment.pieces() {
        let room = proxy::READ_MAX.saturating_sub(held.len()).min(bytes.len());
        if offset != end {
            break;
        }
        held.extend_from_slice(&bytes[..room]);
        end += room as u64;
    }
    end == segment.end()
}

/// How much these first bytes of a connection in one direction are like those of the protocols, and the one that they
/// are most like.
fn recognise(
    candidates: &'static [Candidate],
    direction: Direction,
    bytes: &[u8],
) -> (Likeness, Option<&'static Candidate>) {
    let likeness = |candidate: &'static Candidate| ((candidate.begins)(direction, bytes), Some(candidate));
    candidates.iter().map(likeness).max_by_key(|(likeness, _)| *likeness).unwrap_or((Likeness::None, None))
}

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod tests;
