//! What the fields of a header block say, as far as it matters here: RFC 9113, section 8.3.

use super::hpack::Field;
use crate::model::request::UNREAD;
use crate::protocol::grpc::{self, Call, Encoding};
use crate::protocol::target::split_query;
use crate::protocol::trace_context::{STATE_FIELDS, TraceHeaders, TraceParent};

/// The bytes that are copied of one block at most: a path and what comes with it.
const KEPT_MAX: usize = 32 * 1024;

/// The fields of one block. Used again for the next.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// What the places below are places of.
    bytes: Vec<u8>,
    method: Option<Place>,
    path: Option<Place>,
    authority: Option<Place>,
    pub(super) status: Option<u16>,
    content_type: Option<Encoding>,
    timeout: Option<std::time::Duration>,
    pub(super) grpc_status: Option<u32>,
    parents: usize,
    parent: Option<TraceParent>,
    states: [Place; STATE_FIELDS],
    states_count: usize,
    /// Whether there are fields whose name or value is not known.
    pub(super) is_partial: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: usize,
    end: usize,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        *self = Self { bytes, ..Self::default() };
    }

    /// Whether [`Self::take`] makes anything of fields with this name.
    pub(super) fn want(name: &[u8]) -> bool {
        matches!(
            name,
            b":method"
                | b":path"
                | b":authority"
                | b":status"
                | b"content-type"
                | b"grpc-timeout"
                | b"grpc-status"
                | b"traceparent"
                | b"tracestate"
        )
    }

    /// Takes the next field.
    pub(super) fn take(&mut self, field: Field<'_>) {
        let Field { name: Some(name), value: Some(value) } = field else {
            self.is_partial = true;
            return;
        };
        match name {
            b":method" => self.method = self.keep(value),
            b":path" => self.path = self.keep(value),
            b":authority" => self.authority = self.keep(value),
            b":status" => self.status = number(value),
            b"content-type" => self.content_type = Encoding::of(value),
            b"grpc-timeout" => self.timeout = grpc::timeout(value),
            b"grpc-status" => self.grpc_status = grpc::status(value),
            b"traceparent" => {
                self.parents += 1;
                self.parent = TraceParent::parse(value);
            }
            b"tracestate" => {
                if let Some(place) = self.keep(value)
                    && let Some(state) = self.states.get_mut(self.states_count)
                {
                    *state = place;
                }
                self.states_count += 1;
            }
            _ => {}
        }
    }

    /// `None` if it is none, as far as it is known.
    pub(super) fn method(&self) -> Option<&str> {
        self.text(self.method)
    }

    /// Whether these are those of a request, as far as they are known.
    pub(super) fn is_request(&self) -> bool {
        self.method.is_some() || self.path.is_some() || self.authority.is_some()
    }

    /// The target's path without its query, and its query; without a path, the host.
    pub(super) fn target(&self) -> (&str, Option<&str>) {
        let target = self.text(self.path).or_else(|| self.text(self.authority).filter(|_| self.is_connect()));
        split_query(target.unwrap_or(UNREAD))
    }

    /// `CONNECT`, of a tunnel (section 8.5) or, with `:protocol`, of another protocol (RFC 8441).
    pub(super) fn is_connect(&self) -> bool {
        self.method.is_some_and(|Place { start, end }| &self.bytes[start..end] == b"CONNECT")
    }

    pub(super) fn grpc(&self) -> Option<Call> {
        self.content_type.map(|encoding| Call { encoding, timeout: self.timeout })
    }

    /// Several parents are none, and without one the states say nothing.
    pub(super) fn trace(&self) -> Option<TraceHeaders<'_>> {
        let parent = self.parent.filter(|_| self.parents == 1)?;
        let places = if self.states_count > STATE_FIELDS { Default::default() } else { self.states };
        Some(TraceHeaders { parent, states: places.map(|place| &self.bytes[place.start..place.end]) })
    }

    fn text(&self, place: Option<Place>) -> Option<&str> {
        let Place { start, end } = place?;
        std::str::from_utf8(&self.bytes[start..end]).ok().filter(|text| !text.is_empty())
    }

    fn keep(&mut self, value: &[u8]) -> Option<Place> {
        let start = self.bytes.len();
        if value.len() > KEPT_MAX - start {
            return None;
        }
        self.bytes.extend_from_slice(value);
        Some(Place { start, end: self.bytes.len() })
    }
}

/// Three digits.
fn number(digits: &[u8]) -> Option<u16> {
    let digits: [u8; 3] = digits.try_into().ok()?;
    let number = digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| digits.iter().fold(0, |number, digit| 10 * number + u16::from(digit - b'0')));
    number.filter(|status| *status >= 100)
}
