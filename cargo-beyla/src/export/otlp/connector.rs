//! Connections to a receiver: directly or through a proxy, and encrypted where its URL says so.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT as USER_AGENT_HEADER};
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5};
use hyper_util::client::legacy::connect::{Connected, Connection as HyperConnection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::failure::Failure;
use super::receiver::{Receiver, USER_AGENT};
use super::tls::Tls;
use crate::config::proxy::{Credentials, Proxy};
use crate::export::settings::Protocol;

/// What HTTP/2 is called where TLS agrees on what is spoken.
const HTTP_2: &str = "h2";

type BoxError = Box<dyn Error + Send + Sync>;

/// Opens connections to one receiver, whatever URL is asked for.
#[derive(Clone)]
pub(super) struct Connector(Arc<Way>);

/// How a receiver is reached.
struct Way {
    tcp: HttpConnector,
    target: Uri,
    tls: Option<(Tls, Arc<ClientConfig>)>,
    proxy: Option<Through>,
    speaks_http2: bool,
    timeout: Duration,
}

/// A proxy that is passed through.
struct Through {
    proxy: Proxy,
    /// To the proxy itself.
    tls: Option<Arc<ClientConfig>>,
    /// Whether it is sent whole requests, and not asked for a connection.
    forwards: bool,
}

/// Bytes there and back.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that can be used.
pub(super) struct Connection {
    stream: TokioIo<Box<dyn Stream>>,
    /// Whether requests on it are for a proxy, which needs the whole URL.
    is_forwarded: bool,
}

impl Connector {
    /// To be called in the runtime that it is used in. The system's certificates are read only where they are needed.
    pub(super) fn new(receiver: &Receiver) -> Result<Self, Failure> {
        let speaks_http2 = receiver.protocol == Protocol::Grpc;
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(receiver.timeout));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let protocol = speaks_http2.then_some(HTTP_2);
        let tls = receiver.tls.as_ref().map(|tls| tls.config(protocol).map(|config| (tls.clone(), config)));
        let tls = tls.transpose()?;
        let through = |proxy: &Proxy| {
            let encrypted = proxy.uri.scheme_str() == Some("https");
            let tls = encrypted.then(|| Tls::default().config(None)).transpose()?;
            Ok(Through { proxy: proxy.clone(), tls, forwards: receiver.is_forwarded() })
        };
        let proxy = receiver.proxy.as_ref().map(|proxy| through(&proxy.value)).transpose()?;
        let target = receiver.uri.clone();
        Ok(Self(Arc::new(Way { tcp, target, tls, proxy, speaks_http2, timeout: receiver.timeout })))
    }
}

impl Way {
    async fn connect(&self) -> Result<Connection, BoxError> {
        if let Some((tls, _)) = &self.tls {
            tls.forget();
        }
        let stream = match &self.proxy {
            None => self.tcp(&self.target).await?,
            Some(through) => self.through(through).await?,
        };
        let stream = match &self.tls {
            Some((_, config)) => encrypted(stream, config, &self.target, self.speaks_http2).await?,
            None => stream,
        };
        let is_forwarded = self.proxy.as_ref().is_some_and(|through| through.forwards);
        Ok(Connection { stream: TokioIo::new(stream), is_forwarded })
    }

    async fn tcp(&self, to: &Uri) -> Result<Box<dyn Stream>, BoxError> {
        Ok(Box::new(self.tcp.clone().call(to.clone()).await?.into_inner()))
    }

    async fn through(&self, through: &Through) -> Result<Box<dyn Stream>, BoxError> {
        let Through { proxy: Proxy { uri, credentials }, tls, forwards } = through;
        let (tcp, target) = (self.tcp.clone(), self.target.clone());
        match uri.scheme_str() {
            Some(scheme @ ("socks5" | "socks5h")) => {
                let mut socks = SocksV5::new(uri.clone(), tcp).local_dns(scheme == "socks5");
                if let Some(Credentials::User { name, password }) = credentials {
                    socks = socks.with_auth(name.reveal().to_owned(), password.reveal().to_owned());
                }
                Ok(Box::new(socks.call(with_port(&target)?).await?.into_inner()))
            }
            Some(scheme @ ("socks4" | "socks4a")) => {
                let mut socks = SocksV4::new(uri.clone(), tcp).local_dns(scheme == "socks4");
                Ok(Box::new(socks.call(with_port(&target)?).await?.into_inner()))
            }
            _ => {
                let mut stream = self.tcp(uri).await?;
                if let Some(config) = tls {
                    stream = encrypted(stream, config, uri, false).await?;
                }
                if *forwards { Ok(stream) } else { tunnel(stream, &target, credentials.as_ref()).await }
            }
        }
    }
}

/// Asks a proxy for a connection: RFC 9110, section 9.3.6.
async fn tunnel(
    stream: Box<dyn Stream>,
    target: &Uri,
    credentials: Option<&Credentials>,
) -> Result<Box<dyn Stream>, BoxError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the connection, or when the connection is dropped.
    tokio::spawn(connection.with_upgrades());
    let target = authority(target);
    let mut request = Request::connect(&target)
        .header(HOST, &target)
        .header(USER_AGENT_HEADER, USER_AGENT)
        .body(Empty::<Bytes>::new())?;
    if let Some(Credentials::Header(value)) = credentials {
        let mut value = HeaderValue::from_str(value.reveal())?;
        value.set_sensitive(true);
        request.headers_mut().insert(PROXY_AUTHORIZATION, value);
    }
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {} to CONNECT", response.status()).into());
    }
    Ok(Box::new(TokioIo::new(hyper::upgrade::on(response).await?)))
}

async fn encrypted(
    stream: Box<dyn Stream>,
    config: &Arc<ClientConfig>,
    to: &Uri,
    speaks_http2: bool,
) -> Result<Box<dyn Stream>, BoxError> {
    let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    if speaks_http2 && stream.get_ref().1.alpn_protocol() != Some(HTTP_2.as_bytes()) {
        return Err(super::mistake::NO_GRPC.into());
    }
    Ok(Box::new(stream))
}

/// Host and port of a URL.
fn authority(of: &Uri) -> String {
    let usual = if of.scheme_str() == Some("https") { 443 } else { 80 };
    format!("{}:{}", of.host().unwrap_or_default(), of.port_u16().unwrap_or(usual))
}

/// The same URL with its port.
fn with_port(of: &Uri) -> Result<Uri, http::Error> {
    Uri::builder().scheme(of.scheme_str().unwrap_or("http")).authority(authority(of)).path_and_query("/").build()
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.0);
        Box::pin(async move {
            let seconds = way.timeout.as_secs_f64();
            let connected = tokio::time::timeout(way.timeout, way.connect()).await;
            connected.unwrap_or_else(|_| Err(format!("no connection within {seconds} s").into()))
        })
    }
}

impl HyperConnection for Connection {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_forwarded)
    }
}

impl Read for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
