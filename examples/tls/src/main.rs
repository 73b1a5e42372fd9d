//! An axum server that speaks HTTPS on 127.0.0.1:8443, HTTP/1.1 or HTTP/2 by ALPN, with a certificate that it makes when it
//! starts.
//!
//! Nothing in it knows of tracing. `PORT` takes another port, 0 any free one; `TLS=1.2` or `TLS=1.3` allows one version
//! alone, `TLS=chacha20` one cipher suite.
//!
//! - `GET /hello`
//! - `GET /users/{id}` takes as many milliseconds as the id says, at most 1,000
//! - `POST /upload` says how many bytes came
//! - `GET /download/{bytes}` sends as many, at most 100 MiB

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path};
use axum::routing::{get, post};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion, version};

/// The most that is sent or taken, in bytes.
const BYTES_MAX: usize = 100 << 20;

fn app() -> Router {
    Router::new()
        .route("/hello", get(|| async { "Hello world!" }))
        .route("/users/{id}", get(user))
        .route("/upload", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/download/{bytes}",
            get(|Path(bytes): Path<usize>| async move { Body::from(vec![b'x'; bytes.min(BYTES_MAX)]) }),
        )
        .layer(DefaultBodyLimit::max(BYTES_MAX))
}

async fn user(Path(id): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(id.min(1000))).await;
    format!("user {id}")
}

/// The versions of TLS that are allowed.
fn versions(tls: &str) -> Vec<&'static SupportedProtocolVersion> {
    match tls {
        "1.2" => vec![&version::TLS12],
        "1.3" | "chacha20" => vec![&version::TLS13],
        _ => vec![&version::TLS13, &version::TLS12],
    }
}

fn configuration() -> Result<ServerConfig, Box<dyn Error>> {
    let tls = std::env::var("TLS").unwrap_or_default();
    let mut provider = ring::default_provider();
    if tls == "chacha20" {
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut configuration = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions(&tls))?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(configuration)
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, app: Router) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let server = auto::Builder::new(TokioExecutor::new());
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 8443,
    };
    let acceptor = TlsAcceptor::from(Arc::new(configuration()?));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on https://{}", listener.local_addr()?);
    let app = app();
    loop {
        let (stream, peer) = listener.accept().await?;
        let served = serve(stream, acceptor.clone(), app.clone());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
