//! What is sent by OTLP: spans, or metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Extensions, Request, Response, Status};

use super::failure::line;
use super::secrets::Secrets;

/// The size up to which messages are filled, in bytes. A message may be a little larger; by default, gRPC receivers take
/// up to 4 MiB.
pub(in crate::export) const BYTES_MAX: usize = 2 * 1024 * 1024;

/// A message that a receiver takes.
pub(in crate::export) trait Signal: Message + Clone {
    /// What it answers.
    type Answer: Message + Default;

    /// Sends it once by gRPC.
    async fn call(
        self,
        channel: Channel,
        metadata: MetadataMap,
        encoding: Option<CompressionEncoding>,
    ) -> Result<Response<Self::Answer>, Status>;

    /// What JSON calls the number of those that were not taken.
    const REJECTED: &str;

    /// What of it was not taken although the rest was.
    fn rejected(answer: Self::Answer, secrets: &Secrets) -> Rejected;
}

/// What a receiver has not taken of a message that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct Rejected {
    /// Spans, or data points.
    pub(in crate::export) count: u64,
    /// Why; or a warning, if none was rejected. Fit for a line of ours.
    pub(in crate::export) message: String,
    /// Whether the answer was none of OTLP's: who gave it has perhaps taken nothing.
    pub(in crate::export) is_foreign: bool,
    /// Whether the connection broke during the answer: it may have said more.
    pub(in crate::export) is_cut_off: bool,
}

impl Rejected {
    pub(super) fn new(count: i64, message: &str, secrets: &Secrets) -> Self {
        Self { count: count.max(0) as u64, message: line(&secrets.hide(message)), ..Self::default() }
    }
}

impl Signal for ExportTraceServiceRequest {
    type Answer = ExportTraceServiceResponse;

    const REJECTED: &str = "rejectedSpans";

    async fn call(
        self,
        channel: Channel,
        metadata: MetadataMap,
        encoding: Option<CompressionEncoding>,
    ) -> Result<Response<Self::Answer>, Status> {
        let mut client = TraceServiceClient::new(channel);
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        client.export(Request::from_parts(metadata, Extensions::default(), self)).await
    }

    fn rejected(answer: Self::Answer, secrets: &Secrets) -> Rejected {
        let partial = answer.partial_success.unwrap_or_default();
        Rejected::new(partial.rejected_spans, &partial.error_message, secrets)
    }
}

impl Signal for ExportMetricsServiceRequest {
    type Answer = ExportMetricsServiceResponse;

    const REJECTED: &str = "rejectedDataPoints";

    async fn call(
        self,
        channel: Channel,
        metadata: MetadataMap,
        encoding: Option<CompressionEncoding>,
    ) -> Result<Response<Self::Answer>, Status> {
        let mut client = MetricsServiceClient::new(channel);
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        client.export(Request::from_parts(metadata, Extensions::default(), self)).await
    }

    fn rejected(answer: Self::Answer, secrets: &Secrets) -> Rejected {
        let partial = answer.partial_success.unwrap_or_default();
        Rejected::new(partial.rejected_data_points, &partial.error_message, secrets)
    }
}
