//! Where a request stands in a trace, by W3C Trace Context.

use std::fmt;
use std::sync::Arc;

/// Of a trace: never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// Of a span: never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// Where a request stands in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The caller's, else the test's, else one of its own.
    pub trace_id: TraceId,
    /// Of the server span.
    pub span_id: SpanId,
    /// Who sent the request, if it says so.
    pub caller: Option<Caller>,
    /// The root span of the test that it belongs to, in a run of tests that exports traces.
    pub test: Option<TestSpan>,
}

/// The root span of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TestSpan {
    /// The trace that it begins.
    pub trace_id: TraceId,
    /// Its own.
    pub span_id: SpanId,
}

/// Who sent a request, by its `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The span that sent it.
    pub span_id: SpanId,
    /// Whether the caller records that span.
    pub sampled: bool,
    /// The valid members of `tracestate`, in one.
    pub state: Option<Arc<str>>,
}

impl TraceId {
    /// `None` if they are all zeros.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Of a number, such as a hash; 0 gives the id that 1 does.
    pub fn of(number: u128) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// As they go over the wire.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// `None` if they are all zeros.
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Of a number, such as a hash; 0 gives the id that 1 does.
    pub fn of(number: u64) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// As they go over the wire.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl TraceContext {
    /// The span that the server span is a child of: the caller's, for it has caused the request; else the test's.
    pub fn parent(&self) -> Option<SpanId> {
        self.caller.as_ref().map(|caller| caller.span_id).or(self.test.map(|test| test.span_id))
    }

    /// The test's root span, where it is not in this trace: the caller's trace leads to the test by a link.
    pub fn link(&self) -> Option<TestSpan> {
        self.test.filter(|_| self.caller.is_some())
    }
}

fn write_hex(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
