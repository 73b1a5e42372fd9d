//! The place of a request in a trace (W3C Trace Context).

use std::fmt;
use std::sync::Arc;

/// The id of a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// The id of a span; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// The place of a request in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The caller's trace; without a caller, the test's; without a test, a trace of its own.
    pub trace_id: TraceId,
    /// The id of the server span.
    pub span_id: SpanId,
    /// The caller, if the request names one.
    pub caller: Option<Caller>,
    /// The root span of the test that it belongs to, in a run of tests that exports traces.
    pub test: Option<TestSpan>,
}

/// The root span of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TestSpan {
    /// The trace that it begins.
    pub trace_id: TraceId,
    /// The id of the span.
    pub span_id: SpanId,
}

/// The caller that sent a request, by its `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The span that sent it.
    pub span_id: SpanId,
    /// Whether the caller records that span.
    pub sampled: bool,
    /// The valid members of `tracestate`, joined.
    pub state: Option<Arc<str>>,
}

impl TraceId {
    /// `None` if all bytes are zero.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Makes an id of a number, such as a hash; 0 and 1 give the same id.
    pub fn of(number: u128) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// The bytes as they go over the wire.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// `None` if all bytes are zero.
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Makes an id of a number, such as a hash; 0 and 1 give the same id.
    pub fn of(number: u64) -> Self {
        Self(number.max(1).to_be_bytes())
    }

    /// The bytes as they go over the wire.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl TraceContext {
    /// The parent of the server span: the caller's span, which caused the request, or else the test's.
    pub fn parent(&self) -> Option<SpanId> {
        self.caller.as_ref().map(|caller| caller.span_id).or(self.test.map(|test| test.span_id))
    }

    /// The test's root span, if it is not in this trace. Then a link leads from the caller's trace to the test.
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
