//! The attributes of an outbound call, by the semantic conventions for clients of HTTP, RPC and databases.

use std::borrow::Cow;

use super::attribute::{Value, address, method, port};
use cargo_beyla_core::model::call::{Call, CallKind};
use cargo_beyla_core::model::connection::Endpoint;
use cargo_beyla_core::model::grpc::status_name;
use cargo_beyla_core::model::request::Outcome;

/// An attribute of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CallAttribute {
    HttpMethod,
    Url,
    UrlTemplate,
    HttpStatus,
    RequestBody,
    ResponseBody,
    RpcSystem,
    RpcMethod,
    RpcStatus,
    DbSystem,
    DbOperation,
    DbSummary,
    DbText,
    DbStatus,
    DbRows,
    Error,
    ServerAddress,
    ServerPort,
    PeerAddress,
    PeerPort,
    Transport,
    Certainty,
    Outcome,
}

impl CallAttribute {
    /// All, in the order in which they are exported.
    pub(super) const ALL: [Self; 23] = [
        Self::HttpMethod,
        Self::Url,
        Self::UrlTemplate,
        Self::HttpStatus,
        Self::RequestBody,
        Self::ResponseBody,
        Self::RpcSystem,
        Self::RpcMethod,
        Self::RpcStatus,
        Self::DbSystem,
        Self::DbOperation,
        Self::DbSummary,
        Self::DbText,
        Self::DbStatus,
        Self::DbRows,
        Self::Error,
        Self::ServerAddress,
        Self::ServerPort,
        Self::PeerAddress,
        Self::PeerPort,
        Self::Transport,
        Self::Certainty,
        Self::Outcome,
    ];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HttpMethod => "http.request.method",
            Self::Url => "url.full",
            Self::UrlTemplate => "url.template",
            Self::HttpStatus => "http.response.status_code",
            Self::RequestBody => "http.request.body.size",
            Self::ResponseBody => "http.response.body.size",
            Self::RpcSystem => "rpc.system.name",
            Self::RpcMethod => "rpc.method",
            Self::RpcStatus => "rpc.response.status_code",
            Self::DbSystem => "db.system.name",
            Self::DbOperation => "db.operation.name",
            Self::DbSummary => "db.query.summary",
            Self::DbText => "db.query.text",
            Self::DbStatus => "db.response.status_code",
            Self::DbRows => "db.response.returned_rows",
            Self::Error => "error.type",
            Self::ServerAddress => "server.address",
            Self::ServerPort => "server.port",
            Self::PeerAddress => "network.peer.address",
            Self::PeerPort => "network.peer.port",
            Self::Transport => "network.transport",
            Self::Certainty => "cargo_beyla.certainty",
            Self::Outcome => "cargo_beyla.outcome",
        }
    }

    /// Its value for a call that has it.
    pub(super) fn of(self, call: &Call) -> Option<Value<'_>> {
        let text = |text: &'static str| Value::Text(text.into());
        let server = call.peer();
        let (is_http, is_grpc) = (call.kind == CallKind::Http, call.kind == CallKind::Grpc);
        let is_database = call.kind.is_database();
        match self {
            Self::HttpMethod => is_http.then(|| text(method(first_word(&call.summary)))),
            Self::Url => is_http.then(|| url(call)).flatten().map(|url| Value::Text(url.into())),
            Self::UrlTemplate => {
                let template = || call.summary.split_once(' ').map(|(_, template)| Value::Text(template.into()));
                is_http.then(template).flatten()
            }
            Self::HttpStatus => call.status.as_ref().filter(|_| is_http)?.parse().ok().map(Value::Number),
            Self::RequestBody => call.request_bytes.body.filter(|_| is_http).map(Value::Number),
            Self::ResponseBody => {
                call.response_bytes.and_then(|bytes| bytes.body).filter(|_| is_http).map(Value::Number)
            }
            Self::RpcSystem => is_grpc.then(|| text("grpc")),
            Self::RpcMethod => is_grpc.then(|| Value::Text(call.summary.trim_start_matches('/').into())),
            Self::RpcStatus => {
                call.status.as_deref().filter(|_| is_grpc).map(|status| Value::Text(grpc_status(status)))
            }
            Self::DbSystem => is_database.then(|| text(call.kind.label())),
            // Of a statement in SQL it should not be taken out of the text.
            Self::DbOperation => {
                (is_database && !call.kind.is_sql()).then(|| Value::Text(first_word(&call.summary).into()))
            }
            Self::DbSummary => is_database.then(|| Value::Text((&*call.summary).into())),
            Self::DbText => call.text.as_deref().filter(|_| is_database).map(|text| Value::Text(text.into())),
            Self::DbStatus => {
                call.status.as_deref().filter(|_| is_database).map(|status| Value::Text(code(status).into()))
            }
            Self::DbRows => call.rows.filter(|_| is_database).map(Value::Number),
            Self::Error => error_type(call).map(Value::Text),
            Self::ServerAddress => server_name(call).map(|name| Value::Text(name.into())).or_else(|| address(server?)),
            Self::PeerAddress => address(server?),
            Self::ServerPort | Self::PeerPort => port(server?),
            Self::Transport => Some(text(match server? {
                Endpoint::Tcp(_) => "tcp",
                Endpoint::Unix(_) => "unix",
            })),
            Self::Certainty => call.request.map(|of| text(of.certainty.label())),
            Self::Outcome => (call.outcome != Outcome::Complete).then(|| text(call.outcome.label())),
        }
    }
}

/// Where the call went, without its query.
fn url(call: &Call) -> Option<String> {
    let path = call.text.as_deref()?.split_once(' ')?.1;
    let path = path.split(['?', '#']).next()?;
    match &call.connection.server {
        Endpoint::Tcp(address) => match (server_name(call), &call.connection.tls) {
            (Some(name), _) => Some(format!("https://{name}:{}{path}", address.port())),
            (None, Some(_)) => Some(format!("https://{address}{path}")),
            (None, None) if !address.ip().is_unspecified() => Some(format!("http://{address}{path}")),
            (None, None) => None,
        },
        Endpoint::Unix(_) => None,
    }
}

/// The host that it asked for in the handshake of TLS.
fn server_name(call: &Call) -> Option<&str> {
    call.connection.tls.as_ref()?.server_name.as_deref()
}

/// Why it has failed, if it has.
fn error_type(call: &Call) -> Option<Cow<'_, str>> {
    if !call.is_error {
        return None;
    }
    // If an answer breaks off, its status has come before, and may be one of success.
    let is_success = |status: &str| status.parse().is_ok_and(|status: u16| (100..400).contains(&status));
    let status = call.status.as_deref().filter(|status| call.outcome == Outcome::Complete || !is_success(status));
    Some(match (status, call.outcome) {
        (Some(status), _) if call.kind == CallKind::Grpc => grpc_status(status),
        (Some(status), _) => code(status).into(),
        (None, Outcome::ServerClosed) => "server_closed".into(),
        // What the conventions say of all others.
        (None, _) => "_OTHER".into(),
    })
}

/// The number alone of an error of MySQL that has a SQLSTATE as well, as in `1146 (42S02)`: so say the conventions.
fn code(status: &str) -> &str {
    status.split_once(" (").map_or(status, |(number, _)| number)
}

/// A status of gRPC by its name, as in `UNAVAILABLE`.
fn grpc_status(status: &str) -> Cow<'_, str> {
    status.parse().ok().and_then(status_name).map_or(status.into(), Cow::Borrowed)
}

fn first_word(text: &str) -> &str {
    text.split_once(' ').map_or(text, |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;

    /// As `name=value` of each attribute that the call has.
    fn attributes(call: &Call) -> Vec<String> {
        let value = |attribute: CallAttribute| Some((attribute, attribute.of(call)?));
        let all = CallAttribute::ALL.into_iter().filter_map(value);
        all.map(|(attribute, value)| format!("{}={}", attribute.name(), value.as_text())).collect()
    }

    fn of(summary: &str) -> Call {
        let calls = fixtures::calling().calls;
        let call = calls.iter().find(|call| &*call.summary == summary);
        Call::clone(call.unwrap_or_else(|| panic!("no call {summary}")))
    }

    #[test]
    fn a_call_of_http() {
        let mut call = of("GET /rates/{id}");
        call.text = Some("GET /rates/7?token=hunter2".into());
        let expected = [
            "http.request.method=GET",
            "url.full=http://127.0.0.1:9000/rates/7",
            "url.template=/rates/{id}",
            "http.response.status_code=200",
            "http.request.body.size=0",
            "http.response.body.size=500",
            "server.address=127.0.0.1",
            "server.port=9000",
            "network.peer.address=127.0.0.1",
            "network.peer.port=9000",
            "network.transport=tcp",
            "cargo_beyla.certainty=certain",
        ];
        assert_eq!(attributes(&call), expected);
        (call.status, call.is_error) = (Some("503".into()), true);
        assert!(attributes(&call).contains(&"error.type=503".to_owned()));
    }

    #[test]
    fn a_statement_of_a_database() {
        let mut call = of("SELECT orders");
        (call.status, call.is_error) = (Some("42P01".into()), true);
        let expected = [
            "db.system.name=postgresql",
            "db.query.summary=SELECT orders",
            "db.query.text=SELECT * FROM orders WHERE id = ?",
            "db.response.status_code=42P01",
            "db.response.returned_rows=1",
            "error.type=42P01",
            "server.address=127.0.0.1",
        ];
        assert_eq!(attributes(&call)[..7], expected);
        (call.kind, call.status) = (CallKind::Mysql, Some("1146 (42S02)".into()));
        let mysql = attributes(&call);
        for attribute in ["db.system.name=mysql", "db.response.status_code=1146", "error.type=1146"] {
            assert!(mysql.contains(&attribute.to_owned()), "{mysql:?}");
        }
        let redis = attributes(&of("GET"));
        assert!(redis.contains(&"db.operation.name=GET".to_owned()), "{redis:?}");
        assert!(redis.contains(&"server.address=/run/redis.sock".to_owned()), "{redis:?}");
        assert!(redis.contains(&"network.transport=unix".to_owned()), "{redis:?}");
    }

    #[test]
    fn a_call_of_grpc_and_a_connection_that_failed() {
        let grpc = attributes(&of("/shop.Stock/Check"));
        let expected = ["rpc.system.name=grpc", "rpc.method=shop.Stock/Check", "rpc.response.status_code=UNAVAILABLE"];
        assert_eq!(grpc[..3], expected);
        assert_eq!(grpc[3], "error.type=UNAVAILABLE");
        let refused = attributes(&of("connect"));
        assert_eq!(refused[0], "error.type=ECONNREFUSED");
        assert!(!refused.iter().any(|attribute| attribute.starts_with("db.") || attribute.starts_with("http.")));
        let mut closed = of("connect");
        closed.status = None;
        assert_eq!(attributes(&closed)[0], "error.type=server_closed");
        let mut cut = of("GET /rates/{id}");
        (cut.outcome, cut.is_error) = (Outcome::ServerClosed, true);
        let cut = attributes(&cut);
        for attribute in ["http.response.status_code=200", "error.type=server_closed"] {
            assert!(cut.contains(&attribute.to_owned()), "{cut:?}");
        }
    }
}
