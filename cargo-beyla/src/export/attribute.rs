//! The attributes of a request, by the semantic conventions.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::key_value::{flag, number, text};
use cargo_beyla_core::model::connection::Endpoint;
use cargo_beyla_core::model::grpc::{is_server_error, status_name};
use cargo_beyla_core::model::request::{Outcome, Request};
use cargo_beyla_core::model::tls::Tls;

/// Query parameters whose values are secrets, by the semantic conventions.
const SECRETS: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

/// What the metrics and the spans call a method that is not a known one.
const OTHER_METHOD: &str = "_OTHER";

/// An attribute of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Attribute {
    Method,
    Route,
    Path,
    Scheme,
    ProtocolName,
    ProtocolVersion,
    OriginalMethod,
    Query,
    Status,
    RpcSystem,
    RpcMethod,
    RpcStatus,
    Error,
    RequestBody,
    ResponseBody,
    ServerAddress,
    ServerPort,
    ClientAddress,
    ClientPort,
    PeerAddress,
    PeerPort,
    Transport,
    TlsVersion,
    TlsCipher,
    TlsAlpn,
    TlsResumed,
    Outcome,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Flag(bool),
}

impl Attribute {
    /// All, in the order in which they are exported.
    pub(super) const ALL: [Self; 27] = [
        Self::Method,
        Self::Route,
        Self::Path,
        Self::Scheme,
        Self::ProtocolName,
        Self::ProtocolVersion,
        Self::OriginalMethod,
        Self::Query,
        Self::Status,
        Self::RpcSystem,
        Self::RpcMethod,
        Self::RpcStatus,
        Self::Error,
        Self::RequestBody,
        Self::ResponseBody,
        Self::ServerAddress,
        Self::ServerPort,
        Self::ClientAddress,
        Self::ClientPort,
        Self::PeerAddress,
        Self::PeerPort,
        Self::Transport,
        Self::TlsVersion,
        Self::TlsCipher,
        Self::TlsAlpn,
        Self::TlsResumed,
        Self::Outcome,
    ];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Method => "http.request.method",
            Self::Route => "http.route",
            Self::Path => "url.path",
            Self::Scheme => "url.scheme",
            Self::ProtocolName => "network.protocol.name",
            Self::ProtocolVersion => "network.protocol.version",
            Self::OriginalMethod => "http.request.method_original",
            Self::Query => "url.query",
            Self::Status => "http.response.status_code",
            Self::RpcSystem => "rpc.system.name",
            Self::RpcMethod => "rpc.method",
            Self::RpcStatus => "rpc.response.status_code",
            Self::Error => "error.type",
            Self::RequestBody => "http.request.body.size",
            Self::ResponseBody => "http.response.body.size",
            Self::ServerAddress => "server.address",
            Self::ServerPort => "server.port",
            Self::ClientAddress => "client.address",
            Self::ClientPort => "client.port",
            Self::PeerAddress => "network.peer.address",
            Self::PeerPort => "network.peer.port",
            Self::Transport => "network.transport",
            Self::TlsVersion => "tls.protocol.version",
            Self::TlsCipher => "tls.cipher",
            Self::TlsAlpn => "tls.next_protocol",
            Self::TlsResumed => "tls.resumed",
            Self::Outcome => "cargo_beyla.outcome",
        }
    }

    /// Its value for a request that has it.
    pub(super) fn of(self, request: &Request) -> Option<Value<'_>> {
        let text = |text: &'static str| Value::Text(text.into());
        match self {
            Self::Method => Some(text(method(&request.method))),
            Self::Route => route(request).map(|route| Value::Text((&**route).into())),
            Self::Path => request.known_path().map(|path| Value::Text(path.into())),
            Self::Scheme => Some(text(request.scheme())),
            Self::ProtocolName => Some(text("http")),
            Self::ProtocolVersion => Some(text(version(request.protocol))),
            Self::OriginalMethod => {
                let original = request.known_method().filter(|method| known_method(method).is_none());
                original.map(|method| Value::Text(method.into()))
            }
            Self::Query => request.query.as_deref().map(|query| Value::Text(redact(query))),
            Self::Status => request.status.map(|status| Value::Number(status.into())),
            Self::RpcSystem => request.grpc.as_ref().map(|_| text("grpc")),
            Self::RpcMethod => request.grpc.as_ref().map(|_| Value::Text(rpc_method(&request.path).into())),
            Self::RpcStatus => request.grpc.as_ref().and_then(|grpc| grpc.status).map(rpc_status_name).map(Value::Text),
            Self::Error => error_type(request).map(Value::Text),
            Self::RequestBody => request.request_bytes.body.map(Value::Number),
            Self::ResponseBody => request.response_bytes.and_then(|bytes| bytes.body).map(Value::Number),
            Self::ServerAddress => address(&request.connection.server),
            Self::ServerPort => port(&request.connection.server),
            Self::ClientAddress => address(&request.connection.client),
            Self::ClientPort => port(&request.connection.client),
            Self::PeerAddress => address(request.connection.peer()),
            Self::PeerPort => port(request.connection.peer()),
            Self::Transport => matches!(request.connection.server, Endpoint::Unix(_)).then(|| text("unix")),
            Self::TlsVersion => tls(request).and_then(|tls| tls.version).map(|version| of_display(&version)),
            Self::TlsCipher => tls(request).and_then(|tls| tls.cipher).map(|cipher| of_display(&cipher)),
            Self::TlsAlpn => tls(request).and_then(|tls| tls.alpn.as_deref()).map(|alpn| Value::Text(alpn.into())),
            Self::TlsResumed => tls(request).and_then(|tls| tls.is_resumed).map(Value::Flag),
            Self::Outcome => (request.outcome != Outcome::Complete).then(|| text(request.outcome.label())),
        }
    }
}

fn tls(request: &Request) -> Option<&Tls> {
    request.connection.tls.as_deref()
}

fn of_display(value: &impl std::fmt::Display) -> Value<'static> {
    Value::Text(value.to_string().into())
}

impl Value<'_> {
    /// As a pattern is matched with it.
    pub(super) fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => number.to_string().into(),
            Self::Flag(flag) => flag.to_string().into(),
        }
    }

    /// One that borrows nothing.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(text.into_owned().into()),
            Self::Number(number) => Value::Number(number),
            Self::Flag(flag) => Value::Flag(flag),
        }
    }

    /// In OpenTelemetry's words, as the attribute of this name.
    pub(super) fn to_key_value(&self, name: &str) -> KeyValue {
        match self {
            Self::Text(value) => text(name, value.as_ref()),
            Self::Number(value) => number(name, *value),
            Self::Flag(value) => flag(name, *value),
        }
    }
}

pub(super) fn address(endpoint: &Endpoint) -> Option<Value<'_>> {
    match endpoint {
        // The addresses of a connection whose beginning was lost.
        Endpoint::Tcp(socket) if socket.ip().is_unspecified() => None,
        Endpoint::Tcp(socket) => Some(Value::Text(socket.ip().to_string().into())),
        Endpoint::Unix(path) if path.is_empty() => None,
        Endpoint::Unix(path) => Some(Value::Text(path.into())),
    }
}

pub(super) fn port(endpoint: &Endpoint) -> Option<Value<'_>> {
    match endpoint {
        Endpoint::Tcp(socket) if !socket.ip().is_unspecified() => Some(Value::Number(socket.port().into())),
        Endpoint::Tcp(_) | Endpoint::Unix(_) => None,
    }
}

/// The route, unless the request is exported without one, which has an empty route, or its path was not read.
pub(super) fn route(request: &Request) -> Option<&Arc<str>> {
    request.known_path().map(|_| &request.route).filter(|route| !route.is_empty())
}

/// The full name of a gRPC method, as in `package.Service/Method`, by the path of a call.
pub(super) fn rpc_method(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// The name of a gRPC status code, or its digits if gRPC defines no such code.
pub(super) fn rpc_status_name(status: u32) -> Cow<'static, str> {
    status_name(status).map_or_else(|| status.to_string().into(), Cow::Borrowed)
}

/// The method by the semantic conventions, which bound what there can be.
pub(super) fn method(method: &str) -> &'static str {
    known_method(method).unwrap_or(OTHER_METHOD)
}

pub(super) fn known_method(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY"];
    KNOWN.into_iter().find(|known| *known == method)
}

/// `1.0` or `1.1`.
pub(super) fn version(protocol: &'static str) -> &'static str {
    protocol.strip_prefix("http/").unwrap_or(protocol)
}

/// Why the server has failed a request, if it has.
pub(super) fn error_type(request: &Request) -> Option<Cow<'static, str>> {
    let grpc = request.grpc.as_ref().and_then(|grpc| grpc.status).filter(|status| is_server_error(*status));
    if let Some(name) = grpc.and_then(status_name) {
        return Some(name.into());
    }
    match request.status.filter(|status| *status >= 500) {
        Some(status) => Some(status.to_string().into()),
        None => request.is_error().then_some("server_closed".into()),
    }
}

/// A query without the values of parameters that are secrets.
fn redact(query: &str) -> Cow<'_, str> {
    let is_secret = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| SECRETS.contains(&key));
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let redacted = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if is_secret(pair) => Cow::Owned(format!("{key}=REDACTED")),
        _ => Cow::Borrowed(pair),
    });
    Cow::Owned(redacted.collect::<Vec<_>>().join("&"))
}
