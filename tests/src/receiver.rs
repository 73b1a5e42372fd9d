//! A receiver of OTLP/HTTP: takes whatever comes, and keeps it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use prost::Message as _;

/// One message that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Where it was posted to.
    pub path: String,
    /// What it said.
    pub body: Vec<u8>,
}

/// Listens until the process ends.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// On any free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // Whoever breaks off sends nothing more.
                std::thread::spawn(move || serve(&stream?, &shared));
            }
        });
        Self { address, received }
    }

    /// As `--otlp` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The messages that came to a path.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|received| received.path == path).cloned().collect()
    }

    /// How many messages came.
    pub fn count(&self) -> usize {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The messages with spans.
    pub fn traces(&self) -> Vec<ExportTraceServiceRequest> {
        let decode = |received: Received| ExportTraceServiceRequest::decode(&received.body[..]).expect("spans");
        self.received("/v1/traces").into_iter().map(decode).collect()
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

fn serve(stream: &TcpStream, received: &Mutex<Vec<Received>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field)?;
            match field.trim().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        received.lock().unwrap_or_else(PoisonError::into_inner).push(Received { path, body });
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")?;
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
