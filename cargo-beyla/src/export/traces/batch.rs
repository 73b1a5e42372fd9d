//! As many requests, calls and tests as go into one message.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::call_span::call_span;
use super::spans::spans;
use super::test_span::test_span;
use crate::config::attributes::AttributeSelection;
use crate::export::item::{Counts, Item};
use crate::export::otlp::signal::BYTES_MAX;
use crate::export::queue::BoundedQueue;
use crate::export::resource::scope;
use crate::report::run_info::RunInfo;

/// The most spans of a message: few, so that not many are lost with one message.
const SPANS_MAX: usize = 512;

/// The requests that fill a message: three spans each.
pub(super) const FULL: usize = SPANS_MAX / 3;

/// The semantic conventions by which attributes are named.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.40.0";

/// A message, and how many of each kind are in it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Counts,
    pub(super) message: ExportTraceServiceRequest,
}

/// The attributes that spans are sent without.
#[derive(Debug, Default)]
pub(in crate::export) struct ExcludedAttributes(Vec<AttributeSelection>);

impl ExcludedAttributes {
    /// Of all that is selected, what is said of the spans.
    pub(in crate::export) fn new(mut attributes: Vec<AttributeSelection>) -> Self {
        attributes.retain(|selection| selection.metric == "traces" && !selection.exclude.is_empty());
        Self(attributes)
    }

    fn apply(&self, spans: &mut [Span]) {
        let Self(selections) = self;
        for selection in selections {
            for span in &mut *spans {
                span.attributes.retain(|attribute| !selection.excludes(&attribute.key));
            }
        }
    }
}

impl Batch {
    /// Takes items out of the queue, the spans of each whole, until the message is full.
    pub(super) fn fill(
        queue: &mut BoundedQueue,
        run: &RunInfo,
        resource: &Resource,
        without: &ExcludedAttributes,
    ) -> Self {
        let (mut all, mut items, mut bytes): (Vec<Span>, Counts, usize) = (Vec::new(), Counts::default(), 0);
        while let Some(next) = queue.front() {
            let count = next.count();
            let mut spans = match next {
                Item::Request(request, _) => spans(request, run),
                Item::Call(call) => call_span(call, run).into_iter().collect(),
                Item::Test(test) => vec![test_span(test, run)],
            };
            without.apply(&mut spans);
            let size: usize = spans.iter().map(Message::encoded_len).sum();
            if !items.is_zero() && (all.len() + spans.len() > SPANS_MAX || bytes + size > BYTES_MAX) {
                break;
            }
            queue.pop();
            bytes += size;
            items += count;
            all.extend(spans);
        }
        let scope = ScopeSpans { scope: Some(scope()), spans: all, schema_url: SCHEMA_URL.to_owned() };
        let resource = ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![scope],
            schema_url: SCHEMA_URL.to_owned(),
        };
        Self { items, message: ExportTraceServiceRequest { resource_spans: vec![resource] } }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::attributes::selections_of;
    use crate::export::queue::BOUNDS;
    use crate::report::fixtures;
    use cargo_beyla_core::model::trace_context::{SpanId, TraceContext, TraceId};

    fn queue(requests: u64, path: &str) -> BoundedQueue {
        let mut queue = BoundedQueue::new(BOUNDS);
        for id in 1..=requests {
            let mut request = fixtures::request(id, path);
            let (trace_id, span_id) = (TraceId::of(id.into()), SpanId::of(id));
            request.trace = Some(TraceContext { trace_id, span_id, caller: None, test: None }.into());
            assert!(queue.push(Item::Request(Arc::new(request), Vec::new())));
        }
        queue
    }

    fn sizes(mut queue: BoundedQueue) -> Vec<u64> {
        let mut sizes = Vec::new();
        while queue.len() > 0 {
            let batch = Batch::fill(&mut queue, &fixtures::run(), &Resource::default(), &ExcludedAttributes::default());
            assert!(batch.message.encoded_len() < BYTES_MAX + 64 * 1024);
            let spans = &batch.message.resource_spans[0].scope_spans[0].spans;
            assert!(spans.len() <= SPANS_MAX && spans.len() as u64 == 3 * batch.items.requests);
            sizes.push(batch.items.requests);
        }
        sizes
    }

    #[test]
    fn a_message_is_bounded_in_spans_and_in_bytes() {
        assert_eq!(sizes(queue(400, "/")), [170, 170, 60]);
        // Twice in a span's attributes and once in its name.
        let sizes = sizes(queue(100, &format!("/{}", "x".repeat(20_000))));
        assert_eq!(sizes.iter().sum::<u64>(), 100);
        assert!(sizes.len() == 3 || sizes.len() == 4, "{sizes:?}");
    }

    #[test]
    fn tests_go_with_their_requests() {
        let mut queue = queue(2, "/");
        assert!(queue.push(Item::Test(Arc::new(fixtures::ended_test(1)))));
        let batch = Batch::fill(&mut queue, &fixtures::run(), &Resource::default(), &ExcludedAttributes::default());
        assert_eq!(batch.items, Counts { requests: 2, tests: 1, ..Counts::default() });
        let spans = &batch.message.resource_spans[0].scope_spans[0].spans;
        assert_eq!((spans.len(), spans[6].name.as_str()), (7, "shop::api buys"));
    }

    #[test]
    fn spans_are_without_what_is_excluded() {
        let selections = "traces: {include: [db.*], exclude: [url_query, client.*]}\n'*': {exclude: ['*']}";
        let without = ExcludedAttributes::new(selections_of(selections));
        let mut queue = queue(1, "/a?b=c");
        let batch = Batch::fill(&mut queue, &fixtures::run(), &Resource::default(), &without);
        let attributes = &batch.message.resource_spans[0].scope_spans[0].spans[0].attributes;
        let has = |key: &str| attributes.iter().any(|attribute| attribute.key == key);
        assert!(has("url.path") && has("server.address"));
        assert!(!has("url.query") && !has("client.address") && !has("client.port"));
    }
}
