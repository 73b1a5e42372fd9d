//! OTLP/gRPC.

use http::Uri;
use http::uri::Scheme;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::connector::Connector;
use super::error_details;
use super::failure::{Failure, Remedy, innermost};
use super::receiver::Receiver;
use super::secrets::Secrets;
use super::signal::{Rejected, Signal};
use crate::export::settings::Compression;

/// A connection, made when it is needed and again when it broke.
#[derive(Clone, Debug)]
pub(super) struct Grpc {
    channel: Channel,
    metadata: MetadataMap,
    encoding: Option<CompressionEncoding>,
    receiver: Receiver,
}

impl Grpc {
    /// To be called in the runtime that it is used in.
    pub(super) fn new(receiver: &Receiver) -> Result<Self, Failure> {
        let refused = |error: &(dyn std::error::Error + 'static)| Failure::new(innermost(error), Remedy::None);
        // Our connector encrypts; tonic would do it a second time.
        let mut parts = receiver.uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        let unencrypted = Uri::from_parts(parts).map_err(|error| refused(&error))?;
        let endpoint = Endpoint::from(unencrypted)
            .origin(receiver.uri.clone())
            .user_agent(super::receiver::USER_AGENT)
            .map_err(|error| refused(&error))?;
        let channel = endpoint.connect_with_connector_lazy(Connector::new(receiver)?);
        let metadata = MetadataMap::from_headers(receiver.headers.clone());
        let encoding = match receiver.compression {
            Compression::None => None,
            Compression::Gzip => Some(CompressionEncoding::Gzip),
        };
        Ok(Self { channel, metadata, encoding, receiver: receiver.clone() })
    }

    /// Sends a message once.
    pub(super) async fn send<S: Signal>(&self, message: &S) -> Result<Rejected, Failure> {
        match message.clone().call(self.channel.clone(), self.metadata.clone(), self.encoding).await {
            Ok(answer) => Ok(S::rejected(answer.into_inner(), &self.receiver.secrets)),
            Err(status) => Err(failure(&status, &self.receiver.secrets, self.receiver.remark())),
        }
    }
}

/// By the table of the OTLP specification.
fn failure(status: &Status, secrets: &Secrets, remark: &str) -> Failure {
    // An error of ours that tonic has made a status of has a source, one that came over the wire has not.
    if let Some(source) = std::error::Error::source(status) {
        let connected = matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded);
        let remedy = if connected { Remedy::Retry(None) } else { Remedy::Reconnect };
        return Failure::new(format!("{}{remark}", innermost(source)), remedy);
    }
    let delay = error_details::retry_delay(status.details());
    let remedy = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Remedy::Retry(delay),
        // The receiver says so if it can recover.
        Code::ResourceExhausted if delay.is_some() => Remedy::Retry(delay),
        _ => Remedy::None,
    };
    let code = status.code();
    let reason = match status.message() {
        "" => format!("gRPC status {code:?}"),
        message => format!("gRPC status {code:?}: {}", secrets.hide(message)),
    };
    Failure::new(reason, remedy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn only_what_the_specification_names_is_tried_again() {
        let remedy = |code| failure(&Status::new(code, ""), &Secrets::default(), "").remedy;
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert_eq!(remedy(code), Remedy::Retry(None), "{code:?}");
        }
        for code in [
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::FailedPrecondition,
            Code::Unimplemented,
            Code::Internal,
            Code::ResourceExhausted,
        ] {
            assert_eq!(remedy(code), Remedy::None, "{code:?}");
        }
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::ResourceExhausted, "slowly", details);
        let slowly = Failure::new("gRPC status ResourceExhausted: slowly", Remedy::Retry(Some(Duration::from_secs(3))));
        assert_eq!(failure(&status, &Secrets::default(), ""), slowly);
    }
}
