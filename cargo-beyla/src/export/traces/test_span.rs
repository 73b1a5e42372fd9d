//! The root span of a test.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use super::spans::SAMPLED;
use crate::export::key_value::{number, text};
use crate::report::run_info::RunInfo;
use cargo_beyla_core::model::test::{EndedTest, TestResult};

/// The span that begins the trace of a test; the requests of the test hang under it.
pub(super) fn test_span(test: &EndedTest, run: &RunInfo) -> Span {
    let EndedTest { binary, name, round, result, reason, started_ns, ended_ns, span } = test;
    let mut attributes = vec![text("test.suite.name", &**binary), text("test.case.name", &**name)];
    if let Some(result) = result {
        let status = if *result == TestResult::Passed { "pass" } else { "fail" };
        attributes.push(text("test.case.result.status", status));
    }
    if *round > 0 {
        attributes.push(number("cargo_beyla.test.round", (*round).into()));
    }
    Span {
        trace_id: span.trace_id.bytes().to_vec(),
        span_id: span.span_id.bytes().to_vec(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        name: format!("{binary} {name}"),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: run.unix_ns(*started_ns),
        end_time_unix_nano: run.unix_ns(*ended_ns),
        attributes,
        status: failure(*result, reason.as_deref()).map(|message| Status { code: StatusCode::Error.into(), message }),
        ..Span::default()
    }
}

/// Why a test has failed, if it has.
fn failure(result: Option<TestResult>, reason: Option<&str>) -> Option<String> {
    match result {
        Some(TestResult::Passed) => None,
        Some(TestResult::Failed(code)) => Some(format!("failed with exit code {code}")),
        Some(TestResult::Killed(signal)) => Some(format!("killed by signal {signal}")),
        Some(TestResult::TimedOut) => Some("timed out".to_owned()),
        Some(TestResult::Unlisted) => Some(reason.unwrap_or("not listed").to_owned()),
        None => Some("the run ended before it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::report::fixtures;

    /// The value of an attribute, as text.
    fn value(span: &Span, key: &str) -> Option<String> {
        let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
        Some(match value {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => unreachable!("{other:?}"),
        })
    }

    #[test]
    fn it_says_which_test_and_how_that_ended() {
        let run = fixtures::run();
        for (result, status, message) in [
            (Some(TestResult::Passed), Some("pass"), None),
            (Some(TestResult::Failed(101)), Some("fail"), Some("failed with exit code 101")),
            (Some(TestResult::Killed(6)), Some("fail"), Some("killed by signal 6")),
            (Some(TestResult::TimedOut), Some("fail"), Some("timed out")),
            (Some(TestResult::Unlisted), Some("fail"), Some("why")),
            (None, None, Some("the run ended before it")),
        ] {
            let test = EndedTest { result, reason: Some("why".into()), ..fixtures::ended_test(1) };
            let span = test_span(&test, &run);
            assert_eq!((span.name.as_str(), span.kind()), ("shop::api buys", SpanKind::Internal));
            assert_eq!(span.trace_id, test.span.trace_id.bytes());
            assert_eq!(span.span_id, test.span.span_id.bytes());
            assert!(span.parent_span_id.is_empty());
            assert_eq!(span.start_time_unix_nano, run.unix_ns(test.started_ns));
            assert_eq!(span.end_time_unix_nano, run.unix_ns(test.ended_ns));
            let of = |key: &str| value(&span, key);
            assert_eq!(of("test.suite.name").as_deref(), Some("shop::api"));
            assert_eq!(of("test.case.name").as_deref(), Some("buys"));
            assert_eq!(of("test.case.result.status").as_deref(), status);
            assert_eq!(of("cargo_beyla.test.round"), None);
            let error = span.status.map(|status| (status.code(), status.message));
            assert_eq!(error, message.map(|message| (StatusCode::Error, message.to_owned())));
        }
        let again = test_span(&EndedTest { round: 2, ..fixtures::ended_test(1) }, &run);
        assert_eq!(value(&again, "cargo_beyla.test.round").as_deref(), Some("2"));
    }
}
