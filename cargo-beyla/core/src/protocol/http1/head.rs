//! The head of a message: its start line and header fields.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig};

use super::head_end::HEAD_MAX;
use crate::protocol::grpc::{self, Call, Encoding};
use crate::protocol::target::split_query;
use crate::protocol::trace_context::{STATE_FIELDS, TraceHeaders, TraceParent};

/// Header fields that the first try has room for.
const FIELDS: usize = 128;

/// The smallest header field is `a:` and the end of its line.
const FIELDS_MAX: usize = HEAD_MAX / 3;

/// How the content of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Neither field is there.
    Unsaid,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding` ends in `chunked`.
    Chunked,
    /// There is a `Transfer-Encoding` that delimits nothing.
    Undelimited,
}

/// A head that has been read. Its texts stay where they are, so that it can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) protocol: &'static str,
    method: Span,
    target: Span,
    pub(super) framing: Framing,
    /// Whether it asks for another protocol.
    pub(super) upgrade: bool,
    /// The protocols that it asks for, in its field `Upgrade`.
    protocols: Span,
    /// Whether its client sends the content only after 100 Continue.
    pub(super) expects: bool,
    /// What it says of a gRPC call, if its content consists of messages of gRPC.
    pub(super) grpc: Option<Call>,
    /// What it says of the trace that it belongs to: `traceparent`, and where each `tracestate` stands.
    trace: Option<(TraceParent, [Span; STATE_FIELDS])>,
}

/// A text in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u16,
    end: u16,
}

// The end of every head fits.
const _: () = assert!(HEAD_MAX <= u16::MAX as usize);

/// A head that has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// How the messages of gRPC lie in its content, if it consists of them.
    pub(super) grpc: Option<Encoding>,
    pub(super) grpc_status: Option<u32>,
    /// The protocol that it switches to, in its field `Upgrade`.
    protocol: Span,
}

/// What cannot be read as HTTP/1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Request {
    /// As it stands in the head that this was read from.
    pub(super) fn method<'a>(&self, head: &'a [u8]) -> &'a str {
        self.method.text(head)
    }

    /// As it stands in the head that this was read from.
    pub(super) fn target<'a>(&self, head: &'a [u8]) -> &'a str {
        self.target.text(head)
    }

    /// As it stands in the head that this was read from.
    pub(super) fn trace<'a>(&self, head: &'a [u8]) -> Option<TraceHeaders<'a>> {
        self.trace.map(|(parent, states)| TraceHeaders { parent, states: states.map(|state| state.bytes(head)) })
    }
}

impl Request {
    /// Whether it asks for the protocol with this token.
    pub(super) fn asks_for(&self, token: &str, head: &[u8]) -> bool {
        names(self.protocols.bytes(head), token)
    }
}

impl Response {
    /// Whether it switches to the protocol with this token.
    pub(super) fn switches_to(&self, token: &str, head: &[u8]) -> bool {
        names(self.protocol.bytes(head), token)
    }
}

/// Whether a list has this token; protocols are named without regard to case.
fn names(list: &[u8], token: &str) -> bool {
    list.split(|&byte| byte == b',').any(|named| named.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

impl Span {
    /// Where `text`, which is part of `head`, stands in it.
    fn of(text: &[u8], head: &[u8]) -> Self {
        let start = text.as_ptr().addr() - head.as_ptr().addr();
        Self { start: start as u16, end: (start + text.len()) as u16 }
    }

    fn bytes(self, head: &[u8]) -> &[u8] {
        head.get(self.start.into()..self.end.into()).unwrap_or_default()
    }

    fn text(self, head: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(head)).unwrap_or_default()
    }
}

/// Reads a whole head.
pub(super) fn request(bytes: &[u8]) -> Result<Request, Unreadable> {
    match request_with(bytes, &mut [const { MaybeUninit::uninit() }; FIELDS]) {
        Err(Error::TooManyHeaders) => request_with(bytes, &mut vec![MaybeUninit::uninit(); FIELDS_MAX]),
        read => read,
    }
    .map_err(|_| Unreadable)?
    .ok_or(Unreadable)
}

/// Reads a whole head.
pub(super) fn response(bytes: &[u8]) -> Result<Response, Unreadable> {
    match response_with(bytes, &mut [const { MaybeUninit::uninit() }; FIELDS]) {
        Err(Error::TooManyHeaders) => response_with(bytes, &mut vec![MaybeUninit::uninit(); FIELDS_MAX]),
        read => read,
    }
    .map_err(|_| Unreadable)?
    .ok_or(Unreadable)
}

/// Whether these bytes can become the head of a request.
pub(super) fn may_become_request(bytes: &[u8]) -> bool {
    let read = request_with(bytes, &mut [const { MaybeUninit::uninit() }; FIELDS]);
    matches!(read, Ok(_) | Err(Error::TooManyHeaders))
}

/// Whether these bytes can become the head of a response.
pub(super) fn may_become_response(bytes: &[u8]) -> bool {
    let read = response_with(bytes, &mut [const { MaybeUninit::uninit() }; FIELDS]);
    matches!(read, Ok(_) | Err(Error::TooManyHeaders))
}

/// Whether a segment begins with a request line, and an HTTP/1 one.
pub(in crate::protocol) fn begins_request(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.len() < bytes.len() && (line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"))
}

/// Whether a segment begins with a status line of HTTP/1.
pub(super) fn begins_response(bytes: &[u8]) -> bool {
    bytes.starts_with(STATUS_LINE)
}

/// Whether these bytes can become a status line of HTTP/1.
pub(in crate::protocol) fn may_begin_response(bytes: &[u8]) -> bool {
    bytes.starts_with(&STATUS_LINE[..bytes.len().min(STATUS_LINE.len())])
}

const STATUS_LINE: &[u8] = b"HTTP/1.";

/// The path and the query of a target: RFC 9112, section 3.2.
pub(super) fn split_target(target: &str) -> (&str, Option<&str>) {
    let absolute = match target.as_bytes() {
        [b'/', ..] => None,
        _ => target.split_once("://"),
    };
    let path = match absolute {
        // The absolute form: what follows the authority. An empty path is left out.
        Some((_, rest)) => match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('?') => return ("/", Some(&rest[at + 1..])),
            Some(at) => &rest[at..],
            None => "/",
        },
        // The origin form, `*`, or `host:port`.
        None => target,
    };
    split_query(path)
}

fn config() -> ParserConfig {
    // What a server may let pass is better shown than given up.
    let mut config = ParserConfig::default();
    config
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    config
}

/// `None` if the head is not whole.
fn request_with<'a>(bytes: &'a [u8], fields: &mut [MaybeUninit<Header<'a>>]) -> Result<Option<Request>, Error> {
    let mut head = httparse::Request::new(&mut []);
    if config().parse_request_with_uninit_headers(&mut head, bytes, fields)?.is_partial() {
        return Ok(None);
    }
    let (Some(method), Some(target)) = (head.method, head.path) else {
        return Ok(None);
    };
    Ok(Some(Request {
        protocol: if head.version == Some(0) { "http/1.0" } else { "http/1.1" },
        method: Span::of(method.as_bytes(), bytes),
        target: Span::of(target.as_bytes(), bytes),
        framing: framing(head.headers, head.version)?,
        upgrade: method == "CONNECT" || values(head.headers, "upgrade").next().is_some(),
        protocols: protocols(head.headers, bytes),
        expects: head.version == Some(1) && expects_continue(head.headers),
        grpc: call(head.headers),
        trace: trace(head.headers, bytes),
    }))
}

/// What the field `Upgrade` of a head says.
fn protocols(fields: &[Header<'_>], head: &[u8]) -> Span {
    values(fields, "upgrade").next().map_or_else(Span::default, |value| Span::of(value, head))
}

/// What a head says of its trace. Several parents are none, and without one the states say nothing.
fn trace(fields: &[Header<'_>], head: &[u8]) -> Option<(TraceParent, [Span; STATE_FIELDS])> {
    let mut parents = values(fields, "traceparent");
    let parent = TraceParent::parse(parents.next()?).filter(|_| parents.next().is_none())?;
    let mut states = [Span::default(); STATE_FIELDS];
    for (at, value) in values(fields, "tracestate").enumerate() {
        match states.get_mut(at) {
            Some(state) => *state = Span::of(value, head),
            None => return Some((parent, [Span::default(); STATE_FIELDS])),
        }
    }
    Some((parent, states))
}

/// `None` if the head is not whole.
fn response_with<'a>(bytes: &'a [u8], fields: &mut [MaybeUninit<Header<'a>>]) -> Result<Option<Response>, Error> {
    let mut head = httparse::Response::new(&mut []);
    if config().parse_response_with_uninit_headers(&mut head, bytes, fields)?.is_partial() {
        return Ok(None);
    }
    let Some(status) = head.code else {
        return Ok(None);
    };
    let framing = framing(head.headers, head.version)?;
    let grpc = encoding(head.headers);
    let grpc_status = values(head.headers, "grpc-status").next().and_then(grpc::status);
    Ok(Some(Response { status, framing, grpc, grpc_status, protocol: protocols(head.headers, bytes) }))
}

fn encoding(fields: &[Header<'_>]) -> Option<Encoding> {
    values(fields, "content-type").next().and_then(Encoding::of)
}

fn call(fields: &[Header<'_>]) -> Option<Call> {
    let encoding = encoding(fields)?;
    Some(Call { encoding, timeout: values(fields, "grpc-timeout").next().and_then(grpc::timeout) })
}

/// RFC 9112, section 6.3: `Transfer-Encoding` wins over `Content-Length`.
fn framing(fields: &[Header<'_>], version: Option<u8>) -> Result<Framing, Error> {
    if let Some(codings) = values(fields, "transfer-encoding").last() {
        let last = codings.rsplit(|&byte| byte == b',').next().unwrap_or_default();
        // Section 6.1: in HTTP/1.0 the field means that the framing is faulty.
        let chunked = version == Some(1) && last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::Chunked } else { Framing::Undelimited });
    }
    let mut framing = Framing::Unsaid;
    for value in values(fields, "content-length").flat_map(|value| value.split(|&byte| byte == b',')) {
        let length = Framing::Length(number(value.trim_ascii()).ok_or(Error::HeaderValue)?);
        if framing != Framing::Unsaid && framing != length {
            return Err(Error::HeaderValue);
        }
        framing = length;
    }
    Ok(framing)
}

fn values<'f>(fields: &'f [Header<'_>], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// RFC 9110, section 10.1.1; of HTTP/1.0 a server must ignore it.
fn expects_continue(fields: &[Header<'_>]) -> bool {
    let mut expectations = values(fields, "expect").flat_map(|value| value.split(|&byte| byte == b','));
    expectations.any(|expectation| expectation.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing_of(fields: &str) -> Result<Framing, Unreadable> {
        request(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).map(|head| head.framing)
    }

    #[test]
    fn framing_by_the_book() {
        for (fields, framing) in [
            ("", Ok(Framing::Unsaid)),
            ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("content-length:  18446744073709551615 \r\n", Ok(Framing::Length(u64::MAX))),
            ("Content-Length: 18446744073709551616\r\n", Err(Unreadable)),
            ("Content-Length: 5, 5\r\nContent-Length: 5\r\n", Ok(Framing::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(Unreadable)),
            ("Content-Length: +5\r\n", Err(Unreadable)),
            ("Content-Length: \r\n", Err(Unreadable)),
            ("Content-Length: -1\r\n", Err(Unreadable)),
            ("Transfer-Encoding: CHUNKED\r\nContent-Length: 5\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip, chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: chunked, gzip\r\n", Ok(Framing::Undelimited)),
        ] {
            assert_eq!(framing_of(fields), framing, "{fields:?}");
        }
        let old = request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").map(|head| head.framing);
        assert_eq!(old, Ok(Framing::Undelimited));
    }

    #[test]
    fn targets_of_every_form() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/a/b?c=d?e", "/a/b", Some("c=d?e")),
            ("/a?", "/a", Some("")),
            ("/go?to=http://x/y", "/go", Some("to=http://x/y")),
            ("http://host:80/a?b", "/a", Some("b")),
            ("http://host", "/", None),
            ("http://host?q", "/", Some("q")),
            ("*", "*", None),
            ("host:443", "host:443", None),
        ] {
            assert_eq!(split_target(target), (path, query), "{target}");
        }
    }

    #[test]
    fn the_trace_is_where_the_head_says() {
        let parent = |span: &str| format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-{span}-01\r\n");
        let (one, other) = (parent("b7ad6b7169203331"), parent("00f067aa0ba902b7"));
        let states = |count: usize| (0..count).map(|n| format!("TraceState: k{n}=v\r\n")).collect::<Vec<_>>().concat();
        for (fields, expected) in [
            (one.clone(), Some(vec![])),
            (one.to_uppercase().replace("0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331", "x"), None),
            (format!("{one}{other}"), None),
            (format!("{one}{one}"), None),
            (states(1), None),
            (format!("{}{one}", states(2)), Some(vec!["k0=v", "k1=v"])),
            (format!("{one}{}", states(STATE_FIELDS + 1)), Some(vec![])),
        ] {
            let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
            let head = request(&bytes).expect("a head");
            let states = head.trace(&bytes).map(|trace| {
                let states = trace.states.iter().filter(|state| !state.is_empty());
                states.map(|state| String::from_utf8_lossy(state).into_owned()).collect::<Vec<_>>()
            });
            assert_eq!(states, expected.map(|states| states.iter().map(ToString::to_string).collect()), "{fields}");
        }
    }

    #[test]
    fn very_many_fields() {
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(4000));
        assert!(request(head.as_bytes()).is_ok());
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\n".repeat(4000));
        assert!(response(head.as_bytes()).is_ok());
    }

    #[test]
    fn only_a_whole_start_line_is_a_place_to_begin_again() {
        assert!(begins_request(b"GET / HTTP/1.1\r\nHost"));
        assert!(begins_request(b"X-Y /a%20b HTTP/1.0\n"));
        for text in ["GET / HTTP/1.1", "body", "a\nGET / HTTP/1.1\r\n", ""] {
            assert!(!begins_request(text.as_bytes()), "{text}");
        }
        assert!(may_begin_response(b"HT") && may_begin_response(b"HTTP/1.1 200") && !may_begin_response(b"HX"));
    }
}
