//! Requests in short, to be held against what was to come: `GET /hello 200 complete 37+0 > 70+28`,
//! that is status, outcome, and header and body bytes of request and response; what is not known is
//! `-`.

use crate::report::{Bytes, Request};

/// As reported.
pub fn of(request: &Request) -> String {
    let start = format!("{} {}", request.method, request.path);
    text(&start, request.status, &request.outcome, request.request_bytes, request.response_bytes)
}

/// A complete one: the method and the path, and header and body of both messages.
pub fn complete(start: &str, request: (usize, usize), status: u16, response: (usize, usize)) -> String {
    text(start, Some(status), "complete", bytes(request), Some(bytes(response)))
}

/// A complete one whose request could not be read: how many bytes came of it is all that is known.
pub fn unread(start: &str, request: usize, status: u16, response: (usize, usize)) -> String {
    let request = Bytes { header: request as u64, body: None };
    text(start, Some(status), "complete", request, Some(bytes(response)))
}

/// One without any response.
pub fn unanswered(start: &str, request: (usize, usize), outcome: &str) -> String {
    text(start, None, outcome, bytes(request), None)
}

/// One with as much of a response as is said.
pub fn broken_off(
    start: &str,
    request: (usize, usize),
    outcome: &str,
    status: u16,
    response: (usize, usize),
) -> String {
    text(start, Some(status), outcome, bytes(request), Some(bytes(response)))
}

fn bytes((header, body): (usize, usize)) -> Bytes {
    Bytes { header: header as u64, body: Some(body as u64) }
}

fn text(start: &str, status: Option<u16>, outcome: &str, request: Bytes, response: Option<Bytes>) -> String {
    let size = |Bytes { header, body }: Bytes| format!("{header}+{}", or_dash(body));
    format!("{start} {} {outcome} {} > {}", or_dash(status), size(request), or_dash(response.map(size)))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
