//! A request as it is kept and reported.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::analysis::suite::Owner;
use crate::exchange::trace_context::TraceContext;
use crate::model::boundaries::Boundaries;
use crate::model::connection::StreamId;
use crate::model::explanation::Explanation;
use crate::model::grpc::{Grpc, is_server_error};
use crate::protocol::message::UNREAD;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// TCP over IPv4 or IPv6; an IPv4 address mapped into IPv6 is shown as IPv4.
    Tcp(SocketAddr),
    /// A Unix socket: its path, an abstract name with a leading `@`, or empty if it has none.
    Unix(String),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) if path.is_empty() => formatter.write_str("unix:"),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
        }
    }
}

/// A socket on which the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub local: Endpoint,
    /// Whether it listens on addresses of IPv6 alone, and not on those of IPv4 as well.
    pub ipv6_only: bool,
    /// Whether it listened before the server began, which was given it.
    pub before: bool,
    /// The process that listens, if it is not the one that was started.
    pub pid: Option<u32>,
}

/// A connection that the server accepted, shared by its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Counts from 1 in the order in which the server touched them.
    pub id: u64,
    /// The server's end.
    pub server: Endpoint,
    /// The client's end; behind a proxy that speaks the PROXY protocol, what that says of it.
    pub client: Endpoint,
    /// Such a proxy's end.
    pub proxy: Option<Endpoint>,
    /// Whose it is, in a run that traces several processes.
    pub owner: Option<Owner>,
}

impl ConnectionInfo {
    /// The other end of the server's socket: the client, or the proxy.
    pub fn peer(&self) -> &Endpoint {
        self.proxy.as_ref().unwrap_or(&self.client)
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The whole response was sent.
    Complete,
    /// The client closed or reset the connection before it had the whole response.
    ClientClosed,
    /// The server closed the connection before it had sent the whole response.
    ServerClosed,
    /// The run ended first.
    StillOpen,
    /// Bytes of the exchange were not seen (lost records, or moved by `io_uring`), so its end is not
    /// known.
    NotSeen,
}

impl Outcome {
    /// As it stands in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientClosed => "client closed",
            Self::ServerClosed => "server closed",
            Self::StillOpen => "still open",
            Self::NotSeen => "not seen",
        }
    }
}

/// Bytes of a message as they went over the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageBytes {
    /// The start line and the header fields, up to and with the empty line; of a request that could not be read, all
    /// that was received before it was answered.
    pub header: u64,
    /// The content, without the framing of chunks and without trailers; `None` where the framing was
    /// lost sight of.
    pub body: Option<u64>,
}

/// One request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counts from 1 in the order in which requests were read.
    pub id: u64,
    /// The connection it came on.
    pub connection: Arc<ConnectionInfo>,
    /// `http/1.0`, `http/1.1` or `http/2`.
    pub protocol: &'static str,
    /// Of HTTP/2: the number of its stream.
    pub stream: Option<StreamId>,
    /// Of a gRPC call: what it says beside its path.
    pub grpc: Option<Box<Grpc>>,
    /// As it was sent; `-` if it could not be read.
    pub method: Arc<str>,
    /// The target's path, without its query; the whole target where it has no path (`*`,
    /// `host:port`); `-` if it could not be read.
    pub path: Arc<str>,
    /// What followed the `?`.
    pub query: Option<Arc<str>>,
    /// The path with its variable parts folded.
    pub route: Arc<str>,
    /// Of the final response; `None` if none was seen.
    pub status: Option<u16>,
    /// How the exchange ended.
    pub outcome: Outcome,
    /// The moments that bound it.
    pub boundaries: Boundaries,
    /// Sizes of the request.
    pub request_bytes: MessageBytes,
    /// Sizes of the response; `None` if none was seen.
    pub response_bytes: Option<MessageBytes>,
    /// What its `handle` phase consisted of, where that is known.
    pub explanation: Option<Arc<Explanation>>,
    /// Where it stands in a trace: of every request in a run that exports traces, else of those that came
    /// with a valid `traceparent`.
    pub trace: Option<Box<TraceContext>>,
}

impl Request {
    /// Its method, if that could be read.
    pub fn known_method(&self) -> Option<&str> {
        Some(&*self.method).filter(|method| *method != UNREAD)
    }

    /// Its path, if that could be read.
    pub fn known_path(&self) -> Option<&str> {
        Some(&*self.path).filter(|path| *path != UNREAD)
    }

    /// Whether the server failed it: status 500 and above, a gRPC status that means so, or closed without a whole
    /// response.
    pub fn is_error(&self) -> bool {
        let grpc = self.grpc.as_ref().and_then(|grpc| grpc.status);
        self.status.is_some_and(|status| status >= 500)
            || grpc.is_some_and(is_server_error)
            || self.outcome == Outcome::ServerClosed
    }

    /// What it holds in memory, in bytes, more or less: what it shares with others is counted in full.
    pub fn memory(&self) -> usize {
        let texts = self.path.len() + self.query.as_ref().map_or(0, |query| query.len()) + self.route.len();
        let trace = self.trace.as_ref().map_or(0, |trace| {
            let state = trace.caller.as_ref().and_then(|caller| caller.state.as_ref());
            size_of::<TraceContext>() + state.map_or(0, |state| state.len())
        });
        let grpc = self.grpc.as_ref().map_or(0, |grpc| size_of::<Grpc>() + grpc.service.len() + grpc.method.len());
        size_of::<Self>()
            + grpc
            + texts
            + trace
            + self.explanation.as_ref().map_or(0, |explanation| explanation.memory())
    }
}
