//! A receiver of OTLP/HTTP that does as it is told.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::identity::Identity;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Takes it, and answers with this message.
    Take(Vec<u8>),
    /// The same, after a time.
    Slowly(Duration),
    /// Has the page of a login for everybody.
    Login,
    /// Answers with this status, these headers and this text.
    Refuse(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// Closes the connection.
    Close,
    /// Never answers.
    Hang,
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    /// Without its compression.
    pub body: Bytes,
    /// How large it was on its way.
    pub wire_bytes: usize,
    pub taken: bool,
}

#[derive(Clone, Debug)]
pub struct HttpReceiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl HttpReceiver {
    /// `script` tells what to do with the nth request, from 0 on.
    pub fn start(script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(script, None)
    }

    /// The same over TLS; clients must have a certificate of the authority `clients`, if there is one.
    pub fn start_tls(
        script: impl Fn(usize) -> Answer + Send + Sync + 'static,
        identity: &Identity,
        clients: Option<&str>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(clients.as_bytes()).expect("a certificate")).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("an authority"))
            }
            None => builder.with_no_client_auth(),
        };
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
        let config = builder.with_single_cert(vec![certificate], key).expect("they fit");
        Self::start_with(script, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_with(script: impl Fn(usize) -> Answer + Send + Sync + 'static, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a socket");
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared =
            Arc::new(Shared { script: Box::new(script), count: AtomicUsize::new(0), received: received.clone() });
        // Ends with the process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, shared, tls));
        });
        Self { address, received }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    /// The bodies that it took.
    pub fn taken(&self) -> Vec<Bytes> {
        self.received().into_iter().filter(|received| received.taken).map(|received| received.body).collect()
    }
}

struct Shared {
    script: Box<dyn Fn(usize) -> Answer + Send + Sync>,
    count: AtomicUsize,
    received: Arc<Mutex<Vec<Received>>>,
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, Arc::clone(&shared)));
            let http = http1::Builder::new();
            // A client that breaks off is none.
            match tls {
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                }
                None => {
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                }
            }
        });
    }
}

/// An error closes the connection.
async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let answer = (shared.script)(shared.count.fetch_add(1, Ordering::SeqCst));
    let (head, body) = request.into_parts();
    let mut body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let wire_bytes = body.len();
    if head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let mut decoded = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut decoded)?;
        body = decoded.into();
    }
    let taken = matches!(answer, Answer::Take(_) | Answer::Slowly(_));
    let received = Received {
        at: Instant::now(),
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
        wire_bytes,
        taken,
    };
    shared.received.lock().expect("not poisoned").push(received);
    let ok =
        |body: Vec<u8>| Response::builder().header("content-type", "application/x-protobuf").body(Full::from(body));
    let response = match answer {
        Answer::Take(body) => ok(body),
        Answer::Slowly(time) => {
            tokio::time::sleep(time).await;
            ok(Vec::new())
        }
        Answer::Refuse(status, headers, text) => {
            let mut response = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.header("content-type", "text/plain").body(Full::from(text))
        }
        Answer::Login => {
            Response::builder().header("content-type", "text/html").body(Full::from("<html>Who are you?</html>"))
        }
        Answer::Close => return Err(std::io::Error::other("as it was told")),
        Answer::Hang => std::future::pending::<Result<_, _>>().await,
    };
    Ok::<_, Infallible>(response.expect("a response")).map_err(std::io::Error::other)
}
