//! A receiver of OTLP/gRPC that does as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Certificate, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::identity::Identity;

type Answer = Result<ExportTraceServiceResponse, Status>;

#[derive(Clone)]
pub struct GrpcReceiver {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// `None` hangs.
    script: Box<dyn Fn(usize) -> Option<Answer> + Send + Sync>,
    attempts: Mutex<Vec<MetadataMap>>,
    taken: Mutex<Vec<ExportTraceServiceRequest>>,
    metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
}

impl GrpcReceiver {
    /// `script` tells what to answer to the nth request, from 0 on.
    pub fn start(script: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::start_with(script, None)
    }

    /// One that nobody has reason to trust.
    pub fn start_self_signed() -> Self {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a key");
        let identity = Identity { certificate: key.cert.pem(), key: key.signing_key.serialize_pem() };
        Self::start_tls(|_| Some(Ok(ExportTraceServiceResponse::default())), &identity, None)
    }

    /// Over TLS; clients must have a certificate of the authority `clients`, if there is one.
    pub fn start_tls(
        script: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
        identity: &Identity,
        clients: Option<&str>,
    ) -> Self {
        let identity = transport::Identity::from_pem(&identity.certificate, &identity.key);
        let mut tls = ServerTlsConfig::new().identity(identity);
        if let Some(clients) = clients {
            tls = tls.client_ca_root(Certificate::from_pem(clients));
        }
        Self::start_with(script, Some(tls))
    }

    fn start_with(
        script: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
        tls: Option<ServerTlsConfig>,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a socket");
        let state = Arc::new(State {
            script: Box::new(script),
            attempts: Mutex::default(),
            taken: Mutex::default(),
            metrics: Mutex::default(),
        });
        let receiver = Self { address, state };
        let service = receiver.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).expect("a listener"));
                let mut server = Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).expect("a key");
                }
                let traces = TraceServiceServer::new(service.clone()).accept_compressed(CompressionEncoding::Gzip);
                let router = server.add_service(traces).add_service(MetricsServiceServer::new(service));
                router.serve_with_incoming(incoming).await.expect("a server");
            });
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn taken(&self) -> Vec<ExportTraceServiceRequest> {
        self.state.taken.lock().expect("not poisoned").clone()
    }

    pub fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        self.state.metrics.lock().expect("not poisoned").clone()
    }

    /// What each attempt said of itself.
    pub fn attempts(&self) -> Vec<MetadataMap> {
        self.state.attempts.lock().expect("not poisoned").clone()
    }
}

#[tonic::async_trait]
impl TraceService for GrpcReceiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let attempt = {
            let mut attempts = self.state.attempts.lock().expect("not poisoned");
            attempts.push(request.metadata().clone());
            attempts.len() - 1
        };
        match (self.state.script)(attempt) {
            Some(Ok(answer)) => {
                self.state.taken.lock().expect("not poisoned").push(request.into_inner());
                Ok(Response::new(answer))
            }
            Some(Err(status)) => Err(status),
            None => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl MetricsService for GrpcReceiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.state.metrics.lock().expect("not poisoned").push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
