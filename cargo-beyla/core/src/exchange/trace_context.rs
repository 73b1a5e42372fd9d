//! Where a request stands in a trace, and the ids of its spans.
//!
//! A request that came with a valid `traceparent` belongs to the caller's trace, and its server span is
//! a child of the caller's span. Of the others, those of a test belong to the trace of that test, under its
//! root span; any other begins a trace. Nothing here is random: ids are keyed hashes of the number of the
//! request or the test, under a seed that is drawn once a run and stands in its recording. So a recording
//! that is reported again shows the ids that the run has exported.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::model::call::CallSpan;
use crate::model::test::TestId;
use crate::model::trace_context::{Caller, SpanId, TestSpan, TraceContext, TraceId};
use crate::protocol::trace_context::{TraceHeaders, combine_states};

/// The spans within a server span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Child {
    /// The kernel had the request, the server did not look.
    InQueue = 1,
    /// From there on.
    Processing = 2,
}

impl TraceContext {
    /// The id of a span within the server span.
    pub fn child(&self, child: Child) -> SpanId {
        let trace = self.trace_id.bytes();
        let mut hasher = hasher(u128::from_be_bytes(trace));
        hasher.write(&self.span_id.bytes());
        hasher.write_u8(child as u8);
        span_id(&hasher)
    }
}

/// Says which trace requests belong to, and gives them their ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identities {
    seed: Option<u128>,
}

/// What an id is of.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Of {
    Trace = 1,
    Span = 2,
    TestTrace = 3,
    TestSpan = 4,
    CallTrace = 5,
    CallSpan = 6,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallOrigin<'a> {
    /// The number of the call.
    pub(crate) call: u64,
    /// The trace that it carries to the peer, and the span in there that is to be the peer's parent.
    pub(crate) carries: Option<&'a (TraceId, Caller)>,
    /// The number of its request, and the trace that the request came with.
    pub(crate) request: Option<(u64, Option<&'a (TraceId, Caller)>)>,
    /// The test that it belongs to.
    pub(crate) test: Option<TestId>,
}

impl Identities {
    /// Without a seed, only requests that came with a trace have a place in one.
    pub(crate) fn new(seed: Option<u128>) -> Self {
        Self { seed }
    }

    /// The context of the request with this number; `caller` is the trace that it came with, and who
    /// sent it; `test` the one that it belongs to.
    pub(crate) fn context(
        self,
        request: u64,
        caller: Option<&(TraceId, Caller)>,
        test: Option<TestId>,
    ) -> Option<Box<TraceContext>> {
        if caller.is_none() && self.seed.is_none() {
            return None;
        }
        let test = test.and_then(|test| self.test(test));
        let trace_id = match (caller, test) {
            (Some((trace_id, _)), _) => *trace_id,
            (None, Some(test)) => test.trace_id,
            (None, None) => self.trace_id(request, Of::Trace),
        };
        let mut hasher = self.hasher(request, Of::Span);
        hasher.write(&trace_id.bytes());
        let caller = caller.map(|(_, caller)| caller.clone());
        Some(Box::new(TraceContext { trace_id, span_id: span_id(&hasher), caller, test }))
    }

    /// The root span of a test; `None` without a seed.
    pub(crate) fn test(self, TestId(test): TestId) -> Option<TestSpan> {
        self.seed?;
        let span_id = span_id(&self.hasher(test.into(), Of::TestSpan));
        Some(TestSpan { trace_id: self.trace_id(test.into(), Of::TestTrace), span_id })
    }

    /// The place of a call's span; `None` without a seed.
    pub(crate) fn call_span(self, origin: &CallOrigin<'_>) -> Option<Box<CallSpan>> {
        self.seed?;
        let CallOrigin { call, request, test, .. } = *origin;
        let of_request = || self.context(request?.0, request?.1, test);
        let (trace_id, parent, caller) = if let Some((trace_id, caller)) = origin.application_span() {
            (*trace_id, Some(caller.span_id), Some(caller.clone()))
        } else if let Some(context) = of_request() {
            (context.trace_id, Some(context.span_id), context.caller)
        } else if let Some(test) = test.and_then(|test| self.test(test)) {
            (test.trace_id, Some(test.span_id), None)
        } else {
            (self.trace_id(call, Of::CallTrace), None, None)
        };
        let mut hasher = self.hasher(call, Of::CallSpan);
        hasher.write(&trace_id.bytes());
        Some(Box::new(CallSpan { trace_id, span_id: span_id(&hasher), parent, caller }))
    }

    fn trace_id(self, number: u64, of: Of) -> TraceId {
        TraceId::of(self.hasher(number, of).finish128().as_u128())
    }

    /// `number` is that of the request, the call or the test.
    fn hasher(self, number: u64, of: Of) -> SipHasher13 {
        let mut hasher = hasher(self.seed.unwrap_or_default());
        hasher.write_u64(number);
        hasher.write_u8(of as u8);
        hasher
    }
}

impl<'a> CallOrigin<'a> {
    /// The span that the application has made for the call, and its trace. A `traceparent` that the application passes
    /// on as it came names the caller's span.
    fn application_span(&self) -> Option<&'a (TraceId, Caller)> {
        let came_with = self.request.and_then(|(_, caller)| caller);
        let is_passed_on = |(trace_id, caller): &(TraceId, Caller)| {
            came_with.is_some_and(|(of, by)| (of, by.span_id) == (trace_id, caller.span_id))
        };
        self.carries.filter(|carried| !is_passed_on(carried))
    }
}

impl Caller {
    /// What the head of a request says of it.
    pub(crate) fn of(headers: &TraceHeaders<'_>) -> (TraceId, Self) {
        let TraceHeaders { parent, states } = headers;
        let state = if states.iter().all(|state| state.is_empty()) { None } else { combine_states(states) };
        let caller = Self { span_id: parent.span_id, sampled: parent.sampled, state: state.map(Arc::from) };
        (parent.trace_id, caller)
    }
}

fn hasher(key: u128) -> SipHasher13 {
    SipHasher13::new_with_keys(key as u64, (key >> 64) as u64)
}

fn span_id(hasher: &SipHasher13) -> SpanId {
    SpanId::of(hasher.finish128().h1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::protocol::trace_context::TraceParent;

    fn caller(state: &str) -> (TraceId, Caller) {
        let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = TraceParent::parse(value.as_bytes()).expect("valid");
        Caller::of(&TraceHeaders { parent, states: [state.as_bytes(), b"", b"", b""] })
    }

    #[test]
    fn ids_are_those_of_the_seed_and_no_two_are_alike() {
        let (one, other) = (Identities::new(Some(1)), Identities::new(Some(2)));
        let (mut traces, mut spans) = (HashSet::new(), HashSet::new());
        for request in 1..=20_000 {
            let context = one.context(request, None, None).expect("there is a seed");
            assert_eq!(Some(&context), one.context(request, None, None).as_ref());
            for context in [context, other.context(request, None, None).expect("there is a seed")] {
                assert!(traces.insert(context.trace_id), "{request}");
                for id in [context.span_id, context.child(Child::InQueue), context.child(Child::Processing)] {
                    assert!(spans.insert(id), "{request}");
                }
            }
        }
    }

    #[test]
    fn a_callers_trace_is_gone_on_with() {
        let caller = caller("a=1, b=2");
        for seed in [None, Some(7)] {
            let context = Identities::new(seed).context(1, Some(&caller), None).expect("it came with a trace");
            assert_eq!(context.trace_id, caller.0);
            assert_eq!(context.caller.as_ref(), Some(&caller.1));
            assert_ne!(context.span_id, caller.1.span_id);
            let again = Identities::new(seed).context(2, Some(&caller), None).expect("it came with a trace");
            assert_ne!(context.span_id, again.span_id);
        }
        assert_eq!(caller.1.state.as_deref(), Some("a=1,b=2"));
    }

    #[test]
    fn the_requests_of_a_test_are_in_its_trace() {
        let identities = Identities::new(Some(7));
        let root = identities.test(TestId(1)).expect("there is a seed");
        assert_eq!(Some(root), identities.test(TestId(1)));
        assert_ne!(Some(root.trace_id), identities.test(TestId(2)).map(|other| other.trace_id));
        let mut ids = HashSet::from([root.span_id]);
        for request in 1..=100 {
            let context = identities.context(request, None, Some(TestId(1))).expect("there is a seed");
            assert_eq!((context.trace_id, context.parent()), (root.trace_id, Some(root.span_id)));
            assert_eq!((context.test, context.link()), (Some(root), None));
            for id in [context.span_id, context.child(Child::InQueue), context.child(Child::Processing)] {
                assert!(ids.insert(id), "{request}");
            }
        }
        // A number for a number, a test's ids are not those of a request.
        assert_ne!(identities.context(1, None, None).map(|context| context.trace_id), Some(root.trace_id));
    }

    #[test]
    fn a_caller_comes_before_the_test_which_is_linked() {
        let caller = caller("");
        let context = Identities::new(Some(7)).context(1, Some(&caller), Some(TestId(1))).expect("a context");
        assert_eq!((context.trace_id, context.parent()), (caller.0, Some(caller.1.span_id)));
        assert_eq!(context.link(), Identities::new(Some(7)).test(TestId(1)));
        let unseeded = Identities::new(None).context(1, Some(&caller), Some(TestId(1))).expect("a context");
        assert_eq!((unseeded.test, unseeded.link()), (None, None));
        assert_eq!(Identities::new(None).context(1, None, Some(TestId(1))), None);
    }

    #[test]
    fn a_calls_span_hangs_under_what_it_carries_else_under_its_request_else_under_its_test() {
        let identities = Identities::new(Some(7));
        let (mut carried, came_with) = (caller("c=1"), caller("a=1"));
        carried.1.span_id = SpanId::of(77);
        let origin = CallOrigin { call: 3, carries: None, request: None, test: None };
        let span = |origin: &CallOrigin<'_>| identities.call_span(origin).expect("there is a seed");
        let all = CallOrigin {
            carries: Some(&carried),
            request: Some((9, Some(&came_with))),
            test: Some(TestId(1)),
            ..origin
        };
        let found = span(&all);
        assert_eq!(
            (found.trace_id, found.parent, found.caller),
            (carried.0, Some(carried.1.span_id), Some(carried.1.clone()))
        );
        let found = span(&CallOrigin { carries: None, ..all });
        let request = identities.context(9, Some(&came_with), Some(TestId(1))).expect("a context");
        assert_eq!(
            (found.trace_id, found.parent, &found.caller),
            (request.trace_id, Some(request.span_id), &request.caller)
        );
        assert_ne!(found.span_id, request.span_id);
        // The application has made no span, and passes on what it got.
        assert_eq!(span(&CallOrigin { carries: Some(&came_with), ..all }), found);
        let found = span(&CallOrigin { test: Some(TestId(1)), ..origin });
        let test = identities.test(TestId(1)).expect("there is a seed");
        assert_eq!((found.trace_id, found.parent, &found.caller), (test.trace_id, Some(test.span_id), &None));
        let (one, other) = (span(&origin), span(&CallOrigin { call: 4, ..origin }));
        assert_eq!((one.parent, other.parent), (None, None));
        assert_ne!((one.trace_id, one.span_id), (other.trace_id, other.span_id));
        assert_eq!(Identities::new(None).call_span(&all), None);
    }

    #[test]
    fn without_a_seed_or_a_caller_there_is_none() {
        assert_eq!(Identities::new(None).context(1, None, None), None);
        assert_eq!(caller("").1.state, None);
        assert_eq!(caller("not valid").1.state, None);
    }
}
