//! One attempt to send a message, however OTLP is spoken.

use super::failure::{Failure, Remedy};
use super::grpc::Grpc;
use super::http::Http;
use super::receiver::Receiver;
use super::signal::{Rejected, Signal};
use crate::export::settings::Protocol;

/// A receiver to which messages can be sent.
#[derive(Clone, Debug)]
pub(super) enum Attempts {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

impl Attempts {
    /// To be called in the runtime that it is used in.
    pub(super) fn new(receiver: &Receiver) -> Result<Self, Failure> {
        match receiver.protocol {
            Protocol::Grpc => Grpc::new(receiver).map(|grpc| Self::Grpc(Box::new(grpc))),
            Protocol::HttpProtobuf => Http::new(receiver).map(|http| Self::Http(Box::new(http))),
        }
    }

    /// Sends a message once, and gives the receiver the time of its timeout.
    pub(super) async fn send<S: Signal>(&self, message: &S, receiver: &Receiver) -> Result<Rejected, Failure> {
        let sent = async {
            match self {
                Self::Grpc(grpc) => grpc.send(message).await,
                Self::Http(http) => http.send(message).await,
            }
        };
        let sent = tokio::time::timeout(receiver.timeout, sent).await.unwrap_or_else(|_| {
            let seconds = receiver.timeout.as_secs_f64();
            Err(Failure::new(format!("no answer within {seconds} s"), Remedy::Retry(None)))
        });
        if let (Ok(_), Some(tls)) = (&sent, &receiver.tls) {
            tls.forget();
        }
        // It may be of the proxy's making.
        sent.map_err(|failure| match &receiver.proxy {
            Some(proxy) => failure.through(proxy),
            None => failure,
        })
    }
}
