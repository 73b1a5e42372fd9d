//! A receiver of OTLP: takes whatever comes, and keeps it; or fails as it is told.

mod grpc;
mod http;
mod tls;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use prost::Message as _;
use tonic::transport::ServerTlsConfig;

pub use tls::{Identity, Shown};

/// One message that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Where it was posted to.
    pub path: String,
    /// Its header, names in lower case.
    pub fields: Vec<(String, String)>,
    /// What it said, without its compression.
    pub body: Vec<u8>,
}

impl Received {
    /// A field of the header.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is taken.
    #[default]
    Take,
    /// It is taken, and not kept.
    Forget,
    /// Not now: 503, or what gRPC calls unavailable.
    Refuse,
    /// Nothing.
    Silent,
}

/// What has come.
#[derive(Default)]
struct Store {
    taken: Mutex<Vec<Received>>,
    refused: Mutex<Vec<Received>>,
    mode: Mutex<Mode>,
    connections: Mutex<Vec<TcpStream>>,
    dead: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Keeps a message, and says how it is to be answered.
    fn take(&self, received: Received) -> Mode {
        let mode = *lock(&self.mode);
        match mode {
            Mode::Take => lock(&self.taken).push(received),
            Mode::Forget => {}
            Mode::Refuse | Mode::Silent => lock(&self.refused).push(received),
        }
        mode
    }
}

/// Listens until the process ends, or it is killed.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    /// As `--otlp-protocol` takes it.
    pub protocol: &'static str,
    store: Arc<Store>,
}

impl Receiver {
    /// Of OTLP/HTTP, on any free port.
    pub fn start() -> Self {
        Self::start_over(TcpListener::bind("127.0.0.1:0").expect("a port"), |stream, store| {
            // Whoever breaks off sends nothing more.
            let _ = http::serve(stream, store);
        })
    }

    /// Of OTLP/gRPC, on any free port.
    pub fn start_grpc() -> Self {
        Self::start_grpc_over(None)
    }

    /// Of OTLP/gRPC over TLS, on any free port.
    pub fn start_grpc_tls(identity: &Identity) -> Self {
        Self::start_grpc_over(Some(identity.of_grpc()))
    }

    fn start_grpc_over(tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, store) = (listener.local_addr().expect("it is bound"), Arc::new(Store::default()));
        let shared = Arc::clone(&store);
        std::thread::spawn(move || grpc::serve(listener, shared, tls));
        Self { address, protocol: "grpc", store }
    }

    fn start_over(listener: TcpListener, serve: impl Fn(TcpStream, &Store) + Clone + Send + 'static) -> Self {
        let (address, store) = (listener.local_addr().expect("it is bound"), Arc::new(Store::default()));
        let shared = Arc::clone(&store);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(twin) = stream.try_clone() else { continue };
                lock(&shared.connections).push(twin);
                if shared.dead.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, serve) = (Arc::clone(&shared), serve.clone());
                std::thread::spawn(move || serve(stream, &shared));
            }
            drop(listener);
            lock(&shared.connections).drain(..).for_each(|stream| {
                // The client may have closed it.
                let _ = stream.shutdown(Shutdown::Both);
            });
        });
        Self { address, protocol: "http/protobuf", store }
    }

    /// Answers otherwise from now on.
    pub fn set_mode(&self, mode: Mode) {
        *lock(&self.store.mode) = mode;
    }

    /// Goes away with all its connections, as a process does that is killed; returns when nobody listens any more.
    pub fn kill(&self) {
        self.store.dead.store(true, Ordering::SeqCst);
        // The first wakes the thread that accepts.
        while TcpStream::connect(self.address).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// As `--otlp` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The messages to a path that were taken.
    pub fn received(&self, path: &str) -> Vec<Received> {
        lock(&self.store.taken).iter().filter(|received| received.path == path).cloned().collect()
    }

    /// How many messages were taken.
    pub fn count(&self) -> usize {
        lock(&self.store.taken).len()
    }

    /// How many were not.
    pub fn refused(&self) -> usize {
        lock(&self.store.refused).len()
    }

    /// The messages with spans.
    pub fn traces(&self) -> Vec<ExportTraceServiceRequest> {
        let decode = |received: Received| ExportTraceServiceRequest::decode(&received.body[..]).expect("spans");
        let taken = lock(&self.store.taken).clone();
        // A gateway has them below a path of its own.
        taken.into_iter().filter(|received| received.path.ends_with("/v1/traces")).map(decode).collect()
    }

    /// All spans.
    pub fn spans(&self) -> Vec<Span> {
        self.scopes().flat_map(|scope| scope.spans).collect()
    }

    /// The spans that were made by this library or program.
    pub fn spans_of(&self, name: &str) -> Vec<Span> {
        let of_it = |scope: &ScopeSpans| scope.scope.as_ref().is_some_and(|scope| scope.name == name);
        self.scopes().filter(of_it).flat_map(|scope| scope.spans).collect()
    }

    fn scopes(&self) -> impl Iterator<Item = ScopeSpans> {
        let of_resource = self.traces().into_iter().flat_map(|message| message.resource_spans);
        of_resource.flat_map(|resource| resource.scope_spans)
    }

    /// The spans of requests.
    pub fn server_spans(&self) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.kind() == SpanKind::Server).collect()
    }

    /// What the spans are of, which must be one.
    pub fn resource(&self) -> Resource {
        let mut resources: Vec<Resource> =
            self.traces().into_iter().flat_map(|message| message.resource_spans).filter_map(|of| of.resource).collect();
        let resource = resources.pop().expect("spans came");
        assert!(resources.iter().all(|other| *other == resource), "{resources:#?} {resource:#?}");
        resource
    }
}

/// An attribute of a span or of a resource, as text.
pub fn attribute(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    match value {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        _ => panic!("{key} is {value:?}"),
    }
}

/// An id, as reports write it.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
