//! What gRPC adds to a request: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::sync::Arc;

/// A gRPC call, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// `package.Service`.
    pub service: Arc<str>,
    /// The method's own name.
    pub method: Arc<str>,
    /// `grpc-status`; `None` if the call ended without one.
    pub status: Option<u32>,
    /// Messages that the client sent; `None` where their framing was lost sight of.
    pub request_messages: Option<u64>,
    /// Messages that the server sent; `None` where their framing was lost sight of.
    pub response_messages: Option<u64>,
    /// For how long the client waits, in nanoseconds, if it says so.
    pub timeout_ns: Option<u64>,
}

/// The names of the status codes: <https://grpc.io/docs/guides/status-codes/>.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a status code, if it has one.
pub fn status_name(status: u32) -> Option<&'static str> {
    STATUSES.get(status as usize).copied()
}

/// Whether a status means that the server failed, as OpenTelemetry's semantic conventions for gRPC have it: UNKNOWN,
/// `DEADLINE_EXCEEDED`, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and `DATA_LOSS`. The others are the caller's.
pub fn is_server_error(status: u32) -> bool {
    matches!(status, 2 | 4 | 12..=15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_fails_by_six_statuses() {
        let failed: Vec<_> = (0..20).filter(|&status| is_server_error(status)).filter_map(status_name).collect();
        assert_eq!(failed, ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]);
        assert_eq!((status_name(0), status_name(16), status_name(17)), (Some("OK"), Some("UNAUTHENTICATED"), None));
    }
}
