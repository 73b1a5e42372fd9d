//! The endpoint that is scraped.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use super::text::{Format, text};
use crate::error::Error;
use crate::export::metrics::pipeline::unix_ns;
use crate::export::metrics::store::Store;
use crate::export::settings::PrometheusExport;

/// The connections that are served at a time. One more takes the place of the oldest: who opens many and sends nothing
/// keeps nobody from scraping.
const CONNECTIONS_MAX: usize = 16;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The endpoint, before the run.
#[derive(Debug)]
pub(in crate::export) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
    path: String,
}

/// What is served.
#[derive(Debug)]
pub(in crate::export) struct Scrapes {
    store: Rc<RefCell<Store>>,
    resource: Resource,
    path: String,
    count: Cell<u64>,
}

impl Endpoint {
    /// Takes the port, or says that it cannot be had.
    pub(in crate::export) fn open(settings: &PrometheusExport) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: settings.address, source };
        let listener = TcpListener::bind(settings.address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, path: settings.path.clone() })
    }

    /// As in `http://127.0.0.1:9464/metrics`.
    pub(in crate::export) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Where it listens.
    pub(in crate::export) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves.
    pub(in crate::export) fn scrapes(&self, store: Rc<RefCell<Store>>, resource: Resource) -> Rc<Scrapes> {
        Rc::new(Scrapes { store, resource, path: self.path.clone(), count: Cell::new(0) })
    }

    /// Serves, as long as it is polled, in a `LocalSet`.
    pub(in crate::export) async fn serve(self, scrapes: Rc<Scrapes>) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut connections: VecDeque<JoinHandle<()>> = VecDeque::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // For want of descriptors, say: it will pass.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            connections.retain(|connection| !connection.is_finished());
            if connections.len() >= CONNECTIONS_MAX
                && let Some(oldest) = connections.pop_front()
            {
                oldest.abort();
            }
            let scrapes = Rc::clone(&scrapes);
            connections.push_back(spawn_local(async move {
                let service = service_fn(|request| {
                    let response = scrapes.respond(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                // What a client does wrong, it will see by itself.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }));
        }
    }
}

impl Scrapes {
    pub(in crate::export) fn count(&self) -> u64 {
        self.count.get()
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != self.path {
            return plain(StatusCode::NOT_FOUND, format!("metrics are at {}\n", self.path));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        self.count.set(self.count.get() + 1);
        let format = Format::accepted(request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()));
        let metrics = self.store.borrow_mut().metrics(unix_ns());
        let mut response = plain(StatusCode::OK, text(&self.resource, &metrics, format));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        response
    }
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
