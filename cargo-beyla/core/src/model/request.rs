//! A request, as it is kept and reported.

use std::sync::Arc;

use crate::model::boundaries::Boundaries;
use crate::model::connection::{ConnectionInfo, StreamId};
use crate::model::explanation::Explanation;
use crate::model::grpc::{Grpc, is_server_error};
use crate::model::trace_context::TraceContext;

/// Stands for a method or a path that could not be read.
pub const UNREAD: &str = "-";

/// A route of a run: method and path with its variable parts folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(pub usize);

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The whole response was sent.
    Complete,
    /// The client closed or reset the connection before it had the whole response.
    ClientClosed,
    /// The server closed the connection before it had sent the whole response.
    ServerClosed,
    /// The run ended before the exchange did.
    StillOpen,
    /// Bytes of the exchange were not seen, as records were lost or `io_uring` moved them, so its end is not known.
    NotSeen,
}

impl Outcome {
    /// Its name in reports.
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
    /// The start line and the header fields, up to and including the empty line. If a request could not be read, all
    /// bytes that were received before the answer.
    pub header: u64,
    /// The content, without the framing of chunks and without trailers; `None` if bytes went by unseen and the framing
    /// was lost.
    pub body: Option<u64>,
}

/// One request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counts requests from 1 in the order in which they were read.
    pub id: u64,
    /// The connection it came on.
    pub connection: Arc<ConnectionInfo>,
    /// `http/1.0`, `http/1.1` or `http/2`.
    pub protocol: &'static str,
    /// Of HTTP/2: the number of its stream.
    pub stream: Option<StreamId>,
    /// Of a gRPC call: what it says beside its path.
    pub grpc: Option<Box<Grpc>>,
    /// The method as it was sent; [`UNREAD`] if it could not be read.
    pub method: Arc<str>,
    /// The target's path, without its query; the whole target if it has no path (`*`, `host:port`); [`UNREAD`] if it
    /// could not be read.
    pub path: Arc<str>,
    /// The target's query, without the `?`.
    pub query: Option<Arc<str>>,
    /// The path with its variable parts folded.
    pub route: Arc<str>,
    /// The status of the final response; `None` if no response was seen.
    pub status: Option<u16>,
    /// How the exchange ended.
    pub outcome: Outcome,
    /// The moments that bound it.
    pub boundaries: Boundaries,
    /// The size of the request.
    pub request_bytes: MessageBytes,
    /// The size of the response; `None` if no response was seen.
    pub response_bytes: Option<MessageBytes>,
    /// What its `handle` phase consisted of, if that is known.
    pub explanation: Option<Arc<Explanation>>,
    /// Its place in a trace. In a run that exports traces, every request has one; otherwise those that came with a
    /// valid `traceparent`.
    pub trace: Option<Box<TraceContext>>,
    /// The ids of the calls that it made and that are kept one by one, in the order in which they began.
    pub calls: Vec<u64>,
    /// The calls that it made beside them: they are counted, but not kept.
    pub calls_not_kept: u64,
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

    /// `https` if it came over TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.connection.tls.is_some() { "https" } else { "http" }
    }

    /// How long the handshake of TLS took before it, in nanoseconds, if it is the first of its connection.
    pub fn handshake_ns(&self) -> Option<u64> {
        self.boundaries.secured.and(self.connection.tls.as_ref()?.handshake_ns)
    }

    /// Whether the server failed it: status 500 and above, a gRPC status that means so, or closed without a whole
    /// response.
    pub fn is_error(&self) -> bool {
        let grpc = self.grpc.as_ref().and_then(|grpc| grpc.status);
        self.status.is_some_and(|status| status >= 500)
            || grpc.is_some_and(is_server_error)
            || self.outcome == Outcome::ServerClosed
    }

    /// The memory that it takes, in bytes, approximately. What it shares with other requests counts in full.
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
            + size_of_val(&*self.calls)
            + self.explanation.as_ref().map_or(0, |explanation| explanation.memory())
    }
}
