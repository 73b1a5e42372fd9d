//! Which requests have spans.

use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, SpanId, TraceId};
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SamplingDecision, ShouldSample};

use super::settings::Sampler;
use crate::request::trace_context::TraceContext;

/// Decides by the samplers of the OpenTelemetry SDK.
#[derive(Debug)]
pub(super) struct Sampling {
    sampler: SdkSampler,
}

impl Sampling {
    pub(super) fn new(sampler: Sampler) -> Self {
        let parent_based = |root: SdkSampler| SdkSampler::ParentBased(Box::new(root));
        let sampler = match sampler {
            Sampler::AlwaysOn => SdkSampler::AlwaysOn,
            Sampler::AlwaysOff => SdkSampler::AlwaysOff,
            Sampler::TraceIdRatio(ratio) => SdkSampler::TraceIdRatioBased(ratio),
            Sampler::ParentBasedAlwaysOn => parent_based(SdkSampler::AlwaysOn),
            Sampler::ParentBasedAlwaysOff => parent_based(SdkSampler::AlwaysOff),
            Sampler::ParentBasedTraceIdRatio(ratio) => parent_based(SdkSampler::TraceIdRatioBased(ratio)),
        };
        Self { sampler }
    }

    /// Whether the request with this context has spans.
    pub(super) fn samples(&self, context: &TraceContext) -> bool {
        let trace_id = TraceId::from_bytes(context.trace_id.bytes());
        let parent = context.caller.as_ref().map(|caller| {
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
    use crate::protocol::trace_context as ids;
    use crate::request::trace_context::Caller;

    fn context(trace: u128, sampled: Option<bool>) -> TraceContext {
        let caller = sampled.map(|sampled| Caller { span_id: ids::SpanId::of(1), sampled, state: None });
        TraceContext { trace_id: ids::TraceId::of(trace), span_id: ids::SpanId::of(2), caller }
    }

    #[test]
    fn the_caller_decides_where_it_is_asked() {
        for (sampler, [alone, with_sampled, with_unsampled]) in [
            (Sampler::AlwaysOn, [true, true, true]),
            (Sampler::AlwaysOff, [false, false, false]),
            (Sampler::ParentBasedAlwaysOn, [true, true, false]),
            (Sampler::ParentBasedAlwaysOff, [false, true, false]),
            (Sampler::ParentBasedTraceIdRatio(0.0), [false, true, false]),
            (Sampler::TraceIdRatio(0.0), [false, false, false]),
            (Sampler::TraceIdRatio(1.0), [true, true, true]),
        ] {
            let sampling = Sampling::new(sampler);
            let samples = [None, Some(true), Some(false)].map(|caller| sampling.samples(&context(7, caller)));
            assert_eq!(samples, [alone, with_sampled, with_unsampled], "{sampler:?}");
        }
        assert_eq!(Sampler::default(), Sampler::ParentBasedAlwaysOn);
    }

    #[test]
    fn a_ratio_is_that_of_the_traces() {
        let sampling = Sampling::new(Sampler::TraceIdRatio(0.25));
        let sampled = (0..4096_u128).filter(|n| sampling.samples(&context(n << 52 | 1, None))).count();
        assert_eq!(sampled, 1024);
    }
}
