//! What is sent by OTLP: spans, or metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Extensions, Request, Response, Status};

/// A message that a receiver takes.
pub(in crate::export) trait Signal: Message + Clone {
    /// What it answers.
    type Answer: Message + Default;

    /// Sends it once by gRPC.
    async fn call(self, channel: Channel, metadata: MetadataMap) -> Result<Response<Self::Answer>, Status>;

    /// What of it was not taken although the rest was.
    fn rejected(answer: Self::Answer) -> Rejected;
}

/// What a receiver has not taken of a message that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct Rejected {
    /// Spans, or data points.
    pub(in crate::export) count: u64,
    /// Why; or a warning, if none was rejected.
    pub(in crate::export) message: String,
}

impl Signal for ExportTraceServiceRequest {
    type Answer = ExportTraceServiceResponse;

    async fn call(self, channel: Channel, metadata: MetadataMap) -> Result<Response<Self::Answer>, Status> {
        TraceServiceClient::new(channel).export(Request::from_parts(metadata, Extensions::default(), self)).await
    }

    fn rejected(answer: Self::Answer) -> Rejected {
        let partial = answer.partial_success.unwrap_or_default();
        Rejected { count: partial.rejected_spans.max(0) as u64, message: partial.error_message }
    }
}

impl Signal for ExportMetricsServiceRequest {
    type Answer = ExportMetricsServiceResponse;

    async fn call(self, channel: Channel, metadata: MetadataMap) -> Result<Response<Self::Answer>, Status> {
        MetricsServiceClient::new(channel).export(Request::from_parts(metadata, Extensions::default(), self)).await
    }

    fn rejected(answer: Self::Answer) -> Rejected {
        let partial = answer.partial_success.unwrap_or_default();
        Rejected { count: partial.rejected_data_points.max(0) as u64, message: partial.error_message }
    }
}
