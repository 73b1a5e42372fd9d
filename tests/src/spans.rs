//! The spans that a receiver has, held against the report.

use std::collections::{HashMap, HashSet};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::receiver::{Receiver, attribute, hexadecimal};
use crate::report::Report;

/// Each request of the report has its server span and the two children of that, all in the request's own trace and
/// time; and there is nothing else.
pub fn are_those_of(report: &Report, receiver: &Receiver) {
    are_those_of_requests(report, &receiver.spans());
}

/// The same of a part of what has come.
pub fn are_those_of_requests(report: &Report, spans: &[Span]) {
    let ids: HashSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    let servers: Vec<&Span> = spans.iter().filter(|span| span.kind() == SpanKind::Server).collect();
    let count = report.requests.len();
    assert_eq!((servers.len(), spans.len(), ids.len()), (count, 3 * count, 3 * count));
    let mut by_parent: HashMap<&[u8], Vec<&Span>> = HashMap::new();
    for span in spans {
        by_parent.entry(&span.parent_span_id).or_default().push(span);
    }
    let by_id: HashMap<String, _> = servers.iter().map(|span| (hexadecimal(&span.span_id), span)).collect();
    for request in &report.requests {
        let id = request.span_id.as_deref().expect("it is in a trace");
        let span = by_id.get(id).unwrap_or_else(|| panic!("no span {id}: {request:#?}"));
        assert_eq!(Some(hexadecimal(&span.trace_id)), request.trace_id);
        assert_eq!(span.name, format!("{} {}", request.method, request.route));
        let (start, end) = (request.start_unix_ns, request.start_unix_ns + request.total_ns);
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (start, end), "{request:#?}");
        let parent = Some(hexadecimal(&span.parent_span_id)).filter(|id| !id.is_empty());
        assert_eq!(parent, request.parent_span_id);
        for (key, value) in [
            ("http.request.method", Some(request.method.clone())),
            ("http.response.status_code", request.status.map(|status| status.to_string())),
            ("http.route", Some(request.route.clone())),
            ("url.path", Some(request.path.clone())),
            ("url.query", request.query.clone()),
            ("url.scheme", Some("http".to_owned())),
            ("server.port", request.server.rsplit(':').next().map(str::to_owned)),
        ] {
            assert_eq!(attribute(&span.attributes, key), value, "{key}: {span:#?}");
        }
        let children = by_parent.get(&span.span_id[..]).map_or(&[][..], |children| children);
        let mut names: Vec<&str> = children.iter().map(|child| child.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["in queue", "processing"]);
        for child in children {
            assert_eq!(child.trace_id, span.trace_id);
            let inside = start <= child.start_time_unix_nano && child.end_time_unix_nano <= end;
            assert!(inside && child.start_time_unix_nano <= child.end_time_unix_nano, "{child:#?} {request:#?}");
        }
    }
}
