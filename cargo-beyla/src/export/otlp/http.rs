//! OTLP/HTTP with bodies of protobuf.

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT as USER_AGENT_HEADER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use prost::Message;

use super::connector::Connector;
use super::error_details;
use super::failure::{Failure, Remedy, innermost};
use super::receiver::{Receiver, USER_AGENT};
use super::secrets::Secrets;
use super::signal::{Rejected, Signal};
use crate::export::settings::{Compression, Credentials};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Connections, made when they are needed and kept.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<Connector, Full<Bytes>>,
    receiver: Receiver,
}

impl Http {
    pub(super) fn new(receiver: &Receiver) -> Result<Self, Failure> {
        let client = Client::builder(TokioExecutor::new()).build(Connector::new(receiver)?);
        Ok(Self { client, receiver: receiver.clone() })
    }

    /// Sends a message once.
    pub(super) async fn send<S: Signal>(&self, message: &S) -> Result<Rejected, Failure> {
        let request = self.request(message.encode_to_vec())?;
        let secrets = &self.receiver.secrets;
        let (head, body) =
            self.client.request(request).await.map_err(|error| broken(&error, self.receiver.remark()))?.into_parts();
        let body = answer(body).await;
        if !head.status.is_success() {
            return Err(refused(&Response::from_parts(head, body.unwrap_or_default()), secrets));
        }
        // With this status it is never sent again, whatever the answer is.
        let rejected = match body {
            Ok(body) => rejected::<S>(&head.headers, body, secrets),
            Err(Unread::CutOff) => Some(Rejected { is_cut_off: true, ..Rejected::default() }),
            Err(Unread::TooLong) => None,
        };
        Ok(rejected.unwrap_or_else(|| Rejected { is_foreign: true, ..Rejected::default() }))
    }

    fn request(&self, message: Vec<u8>) -> Result<Request<Full<Bytes>>, Failure> {
        let Receiver { uri, headers, compression, proxy, .. } = &self.receiver;
        let refused = |error: &dyn Error| Failure::new(error.to_string(), Remedy::None);
        let body = match compression {
            Compression::None => message,
            Compression::Gzip => gzip(&message).map_err(|error| refused(&error))?,
        };
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let fields = request.headers_mut();
        fields.insert(USER_AGENT_HEADER, HeaderValue::from_static(USER_AGENT));
        fields.extend(headers.clone());
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        if *compression == Compression::Gzip {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // A connection that the proxy has opened is not for the proxy to read.
        if self.receiver.is_forwarded()
            && let Some(Credentials::Header(value)) = proxy.as_ref().and_then(|proxy| proxy.value.credentials.as_ref())
        {
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|error| refused(&error))?;
            value.set_sensitive(true);
            fields.insert(PROXY_AUTHORIZATION, value);
        }
        Ok(request)
    }
}

fn gzip(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(message)?;
    encoder.finish()
}

/// What an answer to a message that was taken says; `None` if it is none of OTLP's, such as the page of a login.
fn rejected<S: Signal>(headers: &HeaderMap, body: Bytes, secrets: &Secrets) -> Option<Rejected> {
    match media_type(headers).as_deref() {
        Some(PROTOBUF | "application/protobuf") => {
            S::Answer::decode(body).ok().map(|answer| S::rejected(answer, secrets))
        }
        Some(JSON) | None if body.is_empty() => Some(Rejected::default()),
        // It is for those who sent JSON, and some give it to everybody.
        Some(JSON) => {
            let answer: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&body).ok()?;
            let partial = answer.get("partialSuccess");
            let field = |name| partial.and_then(|partial| partial.get(name));
            // In JSON, numbers of 64 bits are texts.
            let count = field(S::REJECTED).and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
            let message = field("errorMessage").and_then(serde_json::Value::as_str);
            Some(Rejected::new(count.unwrap_or_default(), message.unwrap_or_default(), secrets))
        }
        Some(_) | None => None,
    }
}

/// The kind of a body, without its parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?;
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    Some(String::from_utf8_lossy(kind).trim().to_ascii_lowercase())
}

/// Why the body of an answer is not known.
#[derive(Debug)]
enum Unread {
    TooLong,
    CutOff,
}

async fn answer(body: Incoming) -> Result<Bytes, Unread> {
    let collected = Limited::new(body, ANSWER_MAX).collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| if error.is::<LengthLimitError>() { Unread::TooLong } else { Unread::CutOff })
}

/// There was no answer.
fn broken(error: &ClientError, remark: &str) -> Failure {
    if error.is_connect() {
        return Failure::new(innermost(error), Remedy::Reconnect);
    }
    let errors: Vec<&hyper::Error> = causes_of(error).filter_map(|cause| cause.downcast_ref()).collect();
    // Who answers so does it the next time as well: nothing is tried again.
    if errors.iter().any(|error| error.is_parse_too_large()) {
        return Failure::new("the head of its answer is too large", Remedy::None);
    }
    if errors.into_iter().any(is_of_another_protocol) {
        return Failure::new("it does not speak HTTP/1.1; gRPC perhaps?", Remedy::None);
    }
    // As where TLS 1.3 has our certificate judged when the connection is there already.
    let is_alert = causes_of(error).any(|cause| cause.to_string().contains("received fatal alert"));
    let remedy = if is_alert { Remedy::Reconnect } else { Remedy::Retry(None) };
    Failure::new(format!("the connection broke: {}{remark}", innermost(error)), remedy)
}

fn causes_of<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Whether the other side has said what no server of HTTP/1.1 does: something else in the place of an answer, or
/// something before there was a request, as servers of HTTP/2 do. Hyper has no name for the latter, but for all else
/// that has no cause.
fn is_of_another_protocol(error: &hyper::Error) -> bool {
    let is_known = error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || error.is_body_write_aborted()
        || error.is_shutdown()
        || error.is_timeout()
        || error.is_user();
    error.is_parse() || (error.source().is_none() && !is_known)
}

/// By the table of the OTLP specification.
fn refused(response: &Response<Bytes>, secrets: &Secrets) -> Failure {
    let status = response.status();
    let remedy = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Remedy::Retry(retry_after(response.headers(), SystemTime::now())),
        _ => Remedy::None,
    };
    let message = secrets.hide(&message(response));
    let divider = if message.is_empty() { "" } else { ": " };
    Failure::new(format!("HTTP status {status}{divider}{message}"), remedy)
}

/// In seconds, or as a date: RFC 9110, section 10.2.3.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What the receiver says of it: a `google.rpc.Status`, or a text.
fn message(response: &Response<Bytes>) -> String {
    match media_type(response.headers()).as_deref() {
        Some(PROTOBUF) => error_details::message(response.body()),
        Some("text/plain" | JSON) => String::from_utf8_lossy(response.body()).trim().to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::copy_from_slice(body)).expect("a response")
    }

    #[test]
    fn only_what_the_specification_names_is_tried_again() {
        for (status, remedy) in [
            (429, Remedy::Retry(None)),
            (502, Remedy::Retry(None)),
            (503, Remedy::Retry(None)),
            (504, Remedy::Retry(None)),
            (301, Remedy::None),
            (400, Remedy::None),
            (401, Remedy::None),
            (404, Remedy::None),
            (408, Remedy::None),
            (413, Remedy::None),
            (500, Remedy::None),
            (501, Remedy::None),
        ] {
            assert_eq!(refused(&response(status, &[], b""), &Secrets::default()).remedy, remedy, "{status}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (value, delay) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Tue, 14 Nov 2023 22:13:50 GMT", Some(30)),
            ("Tue, 14 Nov 2023 22:13:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            let response = response(503, &[("retry-after", value)], b"");
            assert_eq!(retry_after(response.headers(), now), delay.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn not_every_answer_is_one_of_otlp() {
        use opentelemetry_proto::tonic::collector::trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        };
        let partial = ExportTracePartialSuccess { rejected_spans: 7, error_message: "too\u{1b}[2J old".into() };
        let part = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let of_part = Some(Rejected::new(7, "too\u{1b}[2J old", &Secrets::default()));
        assert!(of_part.as_ref().is_some_and(|rejected| rejected.message == "too\\u{1b}[2J old"));
        let nothing = Some(Rejected::default());
        for (kind, body, expected) in [
            (None, &b""[..], &nothing),
            (Some(PROTOBUF), b"", &nothing),
            (Some("Application/x-protobuf; charset=x"), &part, &of_part),
            (Some(JSON), b"{}", &nothing),
            (
                Some(JSON),
                br#"{"partialSuccess": {"rejectedSpans": "7", "errorMessage": "too\u001b[2J old"}}"#,
                &of_part,
            ),
            (Some(JSON), b"[]", &None),
            (Some(PROTOBUF), b"<html>", &None),
            (Some("text/html"), b"<html>", &None),
            (Some("text/html"), b"", &None),
            (None, b"<html>", &None),
        ] {
            let headers: Vec<_> = kind.into_iter().map(|kind| ("content-type", kind)).collect();
            let (head, body) = response(200, &headers, body).into_parts();
            assert_eq!(
                &rejected::<ExportTraceServiceRequest>(&head.headers, body, &Secrets::default()),
                expected,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_receiver_may_say_why() {
        let status = tonic_types::pb::Status { code: 3, message: "no tenant".into(), details: vec![] }.encode_to_vec();
        for (kind, body, reason) in [
            (PROTOBUF, &status[..], "HTTP status 400 Bad Request: no tenant"),
            (PROTOBUF, &[0xff][..], "HTTP status 400 Bad Request"),
            ("text/plain; charset=utf-8", b"no tenant\n", "HTTP status 400 Bad Request: no tenant"),
            ("text/html", b"<html>", "HTTP status 400 Bad Request"),
        ] {
            assert_eq!(refused(&response(400, &[("content-type", kind)], body), &Secrets::default()).reason, reason);
        }
    }
}
