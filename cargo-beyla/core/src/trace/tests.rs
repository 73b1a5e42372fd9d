//! Every odd case of a connection, each by the records that tell of it.

mod bodies;
mod calls;
mod calls_explained;
mod contexts;
mod endings;
mod expectations;
mod http2;
mod joined;
mod messages;
mod proxies;
mod runs;
mod seeds;
mod sqlite;
mod stream_tasks;
mod suites;
mod unread;
mod unreadable;
mod unseen;

use std::sync::Arc;

use super::*;
use crate::event_builder::EventBuilder;
use crate::model::request::{MessageBytes, Outcome, Request};
use crate::model::summary::Unseen;
use crate::transport::segment::Direction;
use Direction::{Request as Up, Response as Down};

const GET: &str = "GET /a HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const POST_1000: &str = "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
const CHUNKED_POST: &str =
    "POST /users/7 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: t\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n";

/// Adds to the events of a run.
type Build = fn(&mut EventBuilder) -> &mut EventBuilder;

/// `METHOD path?query status outcome body-sizes`, a line a request.
fn lines(events: &EventBuilder) -> Vec<String> {
    events.summary().requests.iter().map(|request| line(request)).collect()
}

fn line(request: &Request) -> String {
    let size = |bytes: Option<MessageBytes>| match bytes {
        Some(MessageBytes { body: Some(body), .. }) => body.to_string(),
        Some(MessageBytes { body: None, .. }) => "?".into(),
        None => "-".into(),
    };
    format!(
        "{} {}{} {} {} {} {}",
        request.method,
        request.path,
        request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default(),
        request.status.map_or("-".into(), |status| status.to_string()),
        request.outcome.label(),
        size(Some(request.request_bytes)),
        size(request.response_bytes),
    )
}

#[track_caller]
/// A request that was handed out, and made no calls.
fn request_of(finished: Finished) -> Arc<Request> {
    match finished {
        Finished::Request(request, calls) if calls.is_empty() => request,
        other => unreachable!("{other:?}"),
    }
}

fn check(build: impl FnOnce(&mut EventBuilder) -> &mut EventBuilder, expected: &[&str]) -> Summary {
    let mut events = EventBuilder::with_connection();
    build(&mut events);
    assert_eq!(lines(&events), expected);
    events.summary()
}
