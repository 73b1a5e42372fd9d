//! Content that a request has announced with `Expect: 100-continue`: RFC 9110, section 10.1.1.
//!
//! A client that gets a final answer instead of 100 may leave the content out, and may send it all the same. Which of
//! the two it does, its next bytes tell: they begin with a request line or they don't, and so do those that stand
//! where the content would end. Where both readings are possible, it counts whether the client could know of the
//! answer when it sent these bytes.

use super::Start;
use super::body::Body;
use super::head::{self, Framing};
use super::head_end::{HEAD_MAX, end_of_head};
use super::line::{Likeness, is_method_cut_at, likeness};
use crate::transport::segment::Segment;

/// Announced content, before its first byte has come.
#[derive(Debug)]
pub(super) struct Expectation {
    pub(super) body: Body,
    /// How long it is, if that was announced.
    pub(super) length: Option<u64>,
    /// Entry of the send call of the final answer, once there is one, in nanoseconds.
    pub(super) answered_ns: Option<u64>,
    /// Whether the server has sent 100 Continue.
    pub(super) continued: bool,
    /// Return of the receive call that brought the end of the request's head, in nanoseconds.
    pub(super) head_ns: u64,
    /// If what has been held back is the content: return of the call that brought the last of it, in nanoseconds, and
    /// where what follows it began.
    pub(super) whole_ns: Option<u64>,
    pub(super) behind: Option<Start>,
}

/// What stands where the content should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Content,
    /// The next request.
    Request,
    /// It cannot be told yet.
    Open,
}

impl Expectation {
    pub(super) fn new(body: Body, length: Option<u64>, head_ns: u64) -> Self {
        Self { body, length, answered_ns: None, continued: false, head_ns, whole_ns: None, behind: None }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered_ns.is_some()
    }

    pub(super) fn announced(&self) -> u64 {
        self.body.announced()
    }

    /// What these bytes are, which the client sent so that the first arrived at `arrived`, in nanoseconds.
    pub(super) fn follows(&self, bytes: &[u8], arrived: Option<u64>) -> Follows {
        let here = likeness(bytes);
        let length = self.length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let behind = length.and_then(|length| bytes.get(length..)).filter(|behind| !behind.is_empty()).map(likeness);
        // It had the final answer, and no other before.
        let may_omit = self.answered_ns.is_some_and(|begun| !self.continued && arrived.is_none_or(|at| at >= begun));
        let request_if = |condition| if condition { Follows::Request } else { Follows::Content };
        let is_whole = || end_of_head(bytes, 0).is_some() || bytes.len() > HEAD_MAX;
        match (here, behind) {
            (Likeness::None, _) | (Likeness::Begun, Some(Likeness::Whole)) => Follows::Content,
            (Likeness::Begun, _) if may_omit && bytes.len() <= HEAD_MAX => Follows::Open,
            (Likeness::Begun, _) => Follows::Content,
            (_, Some(Likeness::None)) => Follows::Request,
            // No chunk begins with a request line.
            (_, None) if length.is_none() => Follows::Request,
            _ if !may_omit => Follows::Content,
            (_, None | Some(Likeness::Begun)) => {
                if is_whole() {
                    Follows::Request
                } else {
                    Follows::Open
                }
            }
            (here, Some(behind)) if here != behind => request_if(here > behind),
            _ => request_if(
                length.is_some_and(|length| is_method_cut_at(bytes, length) || is_behind_head(bytes, length)),
            ),
        }
    }

    /// Bytes are held back. `before` of them came earlier; `offset` is that of the first byte that came now.
    pub(super) fn hold(&mut self, before: usize, now: usize, offset: u64, segment: &Segment<'_>) {
        let Some(length) = self.length.and_then(|length| usize::try_from(length).ok()) else { return };
        if before < length && length <= before + now {
            self.whole_ns = Some(segment.end_ns);
        }
        if let Some(within) = length.checked_sub(before).filter(|within| *within < now) {
            self.behind = Some(Start::of(segment, offset.saturating_add(within as u64)));
        }
    }
}

/// Whether this many bytes lead behind the head of a request, if all of these are requests, and not into the midst of one.
fn is_behind_head(mut bytes: &[u8], mut length: usize) -> bool {
    while let Some(end) = end_of_head(bytes, 0).filter(|end| *end <= length) {
        let content = match head::request(&bytes[..end]).map(|head| head.framing) {
            Ok(Framing::Unsaid) => 0,
            Ok(Framing::Length(content)) => usize::try_from(content).unwrap_or(usize::MAX),
            Ok(Framing::Chunked | Framing::Undelimited) => usize::MAX,
            Err(_) => return false,
        };
        let size = end.saturating_add(content);
        if length <= size {
            return true;
        }
        (bytes, length) = (bytes.get(size..).unwrap_or_default(), length - size);
    }
    false
}
