//! Which requests, calls and tests have spans.

use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, SpanId, TraceId};
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SamplingDecision, ShouldSample};

use super::settings::Sampler;
use cargo_beyla_core::model::call::CallSpan;
use cargo_beyla_core::model::trace_context::{Caller, TestSpan, TraceContext, TraceId as Id};

/// Decides by the samplers of the OpenTelemetry SDK.
#[derive(Debug)]
pub(super) struct Sampling {
    sampler: SdkSampler,
}

impl Sampling {
    pub(super) fn new(sampler: Sampler) -> Self {
        let Sampler { parent_based, ratio } = sampler;
        let root = match ratio {
            1.0 => SdkSampler::AlwaysOn,
            0.0 => SdkSampler::AlwaysOff,
            ratio => SdkSampler::TraceIdRatioBased(ratio),
        };
        let sampler = if parent_based { SdkSampler::ParentBased(Box::new(root)) } else { root };
        Self { sampler }
    }

    /// Whether the request with this context has spans.
    ///
    /// A test's request without a caller is a child of the test's root span. A sampler that follows the parent decides as
    /// it has decided on that root; any other sampler looks at the trace's id alone, which is the same.
    pub(super) fn samples(&self, context: &TraceContext) -> bool {
        self.decide(context.trace_id, context.caller.as_ref())
    }

    /// Whether the call in this place has a span: decided as of its request, unless the call carries a trace of which
    /// the application has decided.
    pub(super) fn samples_call(&self, span: &CallSpan) -> bool {
        self.decide(span.trace_id, span.caller.as_ref())
    }

    /// Whether the test has a root span.
    pub(super) fn samples_test(&self, test: TestSpan) -> bool {
        self.decide(test.trace_id, None)
    }

    fn decide(&self, trace_id: Id, caller: Option<&Caller>) -> bool {
        let trace_id = TraceId::from_bytes(trace_id.bytes());
        let parent = caller.map(|caller| {
            let flags = if caller.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            let span_id = SpanId::from_bytes(caller.span_id.bytes());
            let caller = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
            Context::new().with_remote_span_context(caller)
        });
        // The sampler that is asked for does not look at the rest.
        let result = self.sampler.should_sample(parent.as_ref(), trace_id, "", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::model::trace_context as ids;

    fn context(trace: u128, sampled: Option<bool>) -> TraceContext {
        let caller = sampled.map(|sampled| Caller { span_id: ids::SpanId::of(1), sampled, state: None });
        TraceContext { trace_id: ids::TraceId::of(trace), span_id: ids::SpanId::of(2), caller, test: None }
    }

    fn of(parent_based: bool, ratio: f64) -> Sampler {
        Sampler { parent_based, ratio }
    }

    #[test]
    fn the_caller_decides_where_it_is_asked() {
        for (sampler, [alone, with_sampled, with_unsampled]) in [
            (of(false, 1.0), [true, true, true]),
            (of(false, 0.0), [false, false, false]),
            (of(true, 1.0), [true, true, false]),
            (of(true, 0.0), [false, true, false]),
        ] {
            let sampling = Sampling::new(sampler);
            let samples = [None, Some(true), Some(false)].map(|caller| sampling.samples(&context(7, caller)));
            assert_eq!(samples, [alone, with_sampled, with_unsampled], "{sampler:?}");
        }
        assert_eq!(Sampler::default(), of(true, 1.0));
    }

    #[test]
    fn a_test_is_sampled_with_its_requests() {
        for sampler in [of(true, 0.5), of(false, 0.5), of(true, 0.0), of(true, 1.0)] {
            let sampling = Sampling::new(sampler);
            for trace in 1..200_u128 {
                let trace_id = ids::TraceId::of(trace << 55 | 1);
                let test = TestSpan { trace_id, span_id: ids::SpanId::of(1) };
                let request = TraceContext { trace_id, test: Some(test), ..context(0, None) };
                assert_eq!(sampling.samples(&request), sampling.samples_test(test), "{sampler:?}");
            }
        }
    }

    #[test]
    fn a_ratio_is_that_of_the_traces() {
        let sampling = Sampling::new(of(false, 0.25));
        let sampled = (0..4096_u128).filter(|n| sampling.samples(&context(n << 52 | 1, None))).count();
        assert_eq!(sampled, 1024);
    }
}
