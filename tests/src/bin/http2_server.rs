//! Hyper by hand, which speaks HTTP/2 and nothing else, on a runtime of one thread.
//!
//! `PORT` takes another port than 8085, 0 any free one.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use beyla_tests::accept;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

type Body = BoxBody<Bytes, Infallible>;

fn main() -> io::Result<()> {
    accept::each_on_one_thread(8085, serve)
}

async fn serve(connection: TcpStream) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    // A header whose date is another has another size.
    builder.auto_date_header(false);
    // Clients of tests send without a look at the windows.
    builder.initial_stream_window_size(1 << 24).initial_connection_window_size(1 << 24);
    // A client that is gone needs no answer.
    let _ = builder.serve_connection(TokioIo::new(connection), service_fn(handle)).await;
}

async fn handle(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let number: u64 = request.uri().query().and_then(|query| query.parse().ok()).unwrap_or(0);
    let (status, body) = match request.uri().path() {
        "/status" => (StatusCode::from_u16(number as u16).unwrap_or(StatusCode::BAD_REQUEST), whole("")),
        "/sleep" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            (StatusCode::OK, whole("slept"))
        }
        "/block" => {
            std::thread::sleep(Duration::from_millis(number));
            (StatusCode::OK, whole("blocked"))
        }
        "/bytes" => (StatusCode::OK, whole(vec![b'x'; number as usize])),
        "/echo" => {
            // What came before the client broke it off.
            let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
            (StatusCode::OK, whole(body))
        }
        "/trailers" => {
            let trailers = HeaderMap::from_iter([(hyper::header::ETAG, hyper::header::HeaderValue::from_static("7"))]);
            (StatusCode::OK, whole("body").with_trailers(async { Some(Ok(trailers)) }).boxed())
        }
        "/tunnel" => (StatusCode::OK, whole("")),
        _ => (StatusCode::OK, whole("fast")),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Ok(response)
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}
