//! OTLP/gRPC, into the same store.

use std::net::TcpListener;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::{Mode, Received, Store};

#[derive(Clone)]
struct Service(Arc<Store>);

impl Service {
    async fn take(&self, path: &str, request: Request<impl Message>) -> Result<(), Status> {
        let headers = request.metadata().clone().into_headers();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let fields = headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let received = Received { path: path.to_owned(), fields, body: request.into_inner().encode_to_vec() };
        match self.0.take(received) {
            Mode::Take | Mode::Forget => Ok(()),
            Mode::Refuse => Err(Status::unavailable("busy")),
            Mode::Silent => std::future::pending().await,
        }
    }
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, store: Arc<Store>, tls: Option<ServerTlsConfig>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket");
        let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).expect("a listener"));
        let service = Service(store);
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).expect("a key and its certificate");
        }
        let router = server
            .add_service(TraceServiceServer::new(service.clone()).accept_compressed(CompressionEncoding::Gzip))
            .add_service(MetricsServiceServer::new(service).accept_compressed(CompressionEncoding::Gzip));
        router.serve_with_incoming(incoming).await.expect("a server");
    });
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take("/v1/traces", request).await?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take("/v1/metrics", request).await?;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
