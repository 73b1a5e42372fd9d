//! A server that calls others while it answers: on a runtime of one thread, each connection is a task.
//!
//! The path says how it calls, the query whom: an address of TCP, or the path of a Unix socket. What comes as
//! `x-sends-traceparent` it sends on as `traceparent`. `/grpc` calls a collector of spans, `/grpc_tls` one for whose
//! `localhost` the `AUTHORITY` (PEM) vouches, and `/https` any server. `PORT` takes another port than 8084, 0 any free one.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1 as client_http1, http2};
use hyper::rt::{Read as AsyncRead, Write as AsyncWrite};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The length of an upload: more than a peer reads that answers at once, and not more than the socket holds.
const UPLOADED: usize = 32_000;

/// What it asks of others, and of whom.
struct Call {
    to: String,
    head: String,
}

impl Call {
    fn of(request: &Request<Incoming>) -> Self {
        let traceparent = request.headers().get("x-sends-traceparent").and_then(|value| value.to_str().ok());
        let traceparent = traceparent.map_or_else(String::new, |value| format!("traceparent: {value}\r\n"));
        Self {
            to: request.uri().query().unwrap_or_default().to_owned(),
            head: format!("GET /called HTTP/1.1\r\nhost: other\r\n{traceparent}connection: close\r\n\r\n"),
        }
    }
}

fn main() -> io::Result<()> {
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(io::Error::other)?,
        Err(_) => 8084,
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(accept_all(port))
}

async fn accept_all(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A client that is gone needs no answer.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service_fn(handle)).await;
        });
    }
}

async fn handle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let call = Call::of(&request);
    let answer = match request.uri().path() {
        "/tcp" => call_over_tcp(call).await,
        "/twice" => connect_twice_from_one_port(call).await,
        "/unix" => call_over_unix(call).await,
        "/grpc" => call_by_grpc(TcpStream::connect(call.to).await).await,
        "/grpc_tls" => call_by_grpc(secured(&call.to, b"h2").await).await,
        "/https" => call_over_tls(call).await,
        "/driven" => call_by_driver(call).await,
        "/given-up" => match tokio::time::timeout(Duration::from_millis(50), call_by_driver(call)).await {
            Ok(answer) => answer,
            Err(_) => Ok("given up".into()),
        },
        "/upload" => blocking(move || upload_and_read_late(&call)).await,
        "/impatient" => blocking(move || connect_impatiently(&call)).await,
        "/spawned" => tokio::spawn(call_over_tcp(call)).await.unwrap_or_else(|error| Err(io::Error::other(error))),
        "/blocking" => blocking(|| call_and_block(call)).await,
        "/called" => Ok("called".into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let (status, body) = match answer {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    };
    Ok(Response::builder().status(status).body(Full::from(body)).expect("no header is wrong"))
}

/// On a thread of the blocking pool.
async fn blocking(call: impl FnOnce() -> io::Result<String> + Send + 'static) -> io::Result<String> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A new connection has room for the call.
async fn call_over_tcp(Call { to, head }: Call) -> io::Result<String> {
    let connection = TcpStream::connect(to).await?;
    connection.try_write(head.as_bytes())?;
    answer(|| connection.readable(), |bytes| connection.try_read(bytes)).await
}

/// The second time there is a connection between the two ends already.
async fn connect_twice_from_one_port(Call { to, .. }: Call) -> io::Result<String> {
    let to = to.parse().map_err(io::Error::other)?;
    let bound = |from: SocketAddr| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
        io::Result::Ok(socket)
    };
    let first = bound(([127, 0, 0, 1], 0).into())?;
    let second = bound(first.local_addr()?)?;
    let _connection = first.connect(to).await?;
    second.connect(to).await.map(|_| "connected".into())
}

async fn call_over_unix(Call { to, head }: Call) -> io::Result<String> {
    let connection = UnixStream::connect(to).await?;
    connection.try_write(head.as_bytes())?;
    answer(|| connection.readable(), |bytes| connection.try_read(bytes)).await
}

/// A connection over TLS on which both ends speak this protocol.
async fn secured(to: &str, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let authority = std::env::var("AUTHORITY").map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(io::Error::other)?;
    roots.add(authority).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
}

/// With a secret in the query.
async fn call_over_tls(Call { to, .. }: Call) -> io::Result<String> {
    get(secured(&to, b"http/1.1").await?, "/users/5?key=hunter2-query").await
}

async fn call_by_driver(Call { to, .. }: Call) -> io::Result<String> {
    get(TcpStream::connect(to).await?, "/called").await
}

/// As clients of HTTP do it: a task of its own works on the connection.
async fn get<Stream>(stream: Stream, target: &str) -> io::Result<String>
where
    TokioIo<Stream>: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = client_http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // If it fails, so does the request that waits for an answer.
        let _ = connection.await;
    });
    let request = Request::get(target).header("host", "localhost").body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    let body = response.into_body().collect().await.map_err(io::Error::other)?;
    String::from_utf8(body.to_bytes().to_vec()).map_err(io::Error::other)
}

/// Sends a collector no spans, with metadata that is nobody's business; returns the status.
async fn call_by_grpc<Stream>(stream: io::Result<Stream>) -> io::Result<String>
where
    TokioIo<Stream>: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream?)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // If it fails, so does the request that waits for an answer.
        let _ = connection.await;
    });
    let request = Request::post("http://collector/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", "Bearer hunter2-metadata")
        .header("x-api-key", "hunter2-api-key")
        .body(Full::<Bytes>::from(&[0; 5][..]))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let body = response.into_body().collect().await.map_err(io::Error::other)?;
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    Ok(status.map_or_else(String::new, |status| String::from_utf8_lossy(status.as_bytes()).into_owned()))
}

/// All that comes.
async fn answer<Readable: Future<Output = io::Result<()>>>(
    readable: impl Fn() -> Readable,
    read: impl Fn(&mut [u8]) -> io::Result<usize>,
) -> io::Result<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        readable().await?;
        match read(&mut buffer) {
            Ok(0) => return String::from_utf8(answer).map_err(io::Error::other),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn call_and_block(Call { to, head }: Call) -> io::Result<String> {
    let mut connection = std::net::TcpStream::connect(to)?;
    connection.write_all(head.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sends more than is read of it, and looks for the answer once the other end has closed the connection.
fn upload_and_read_late(Call { to, .. }: &Call) -> io::Result<String> {
    let mut connection = std::net::TcpStream::connect(to)?;
    let head = format!("POST /upload HTTP/1.1\r\nhost: other\r\ncontent-length: {UPLOADED}\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(&vec![b'a'; UPLOADED])?;
    std::thread::sleep(Duration::from_millis(100));
    let mut answer = [0; 4096];
    let length = connection.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Waits for a connection, and not for long.
fn connect_impatiently(Call { to, .. }: &Call) -> io::Result<String> {
    let to = to.parse().map_err(io::Error::other)?;
    std::net::TcpStream::connect_timeout(&to, Duration::from_millis(100)).map(|_| "connected".into())
}
