//! Large bodies and heads, over HTTP/1.1 and HTTP/2: a connection speaks what it begins with.
//!
//! - `GET /down/SIZE/CHUNK`: a body of SIZE bytes, handed over in chunks, without a length beforehand;
//! - `POST /up`: reads the body and answers with its size;
//! - `GET /head/SIZE`: a header field of SIZE bytes before a body of 100,000.
//!
//! `PORT` takes another port than 8084, 0 any free one.

use std::io;

use beyla_tests::accept;
use beyla_tests::bulk::{Bulk, drain};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

fn main() -> io::Result<()> {
    accept::each_on_one_thread(8084, serve)
}

async fn serve(connection: TcpStream) {
    let mut first = [0; 3];
    let is_http2 = connection.peek(&mut first).await.is_ok_and(|_| &first == b"PRI");
    let connection = TokioIo::new(connection);
    // A client that is gone needs no answer.
    if is_http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(connection, service_fn(handle)).await;
    } else {
        let _ = http1::Builder::new().serve_connection(connection, service_fn(handle)).await;
    }
}

async fn handle(request: Request<Incoming>) -> Result<Response<Either<Bulk, Full<Bytes>>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let mut parts = path.split('/').skip(1);
    let what = parts.next().unwrap_or_default();
    let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    let mut response = Response::builder();
    let body = match what {
        "down" => Either::Left(Bulk::new(number(), number())),
        "up" => Either::Right(Full::from(drain(request.into_body()).await?.to_string())),
        "head" => {
            response = response.header("x-long", "h".repeat(number()));
            Either::Right(Full::from("b".repeat(100_000)))
        }
        _ => {
            response = response.status(404);
            Either::Right(Full::default())
        }
    };
    Ok(response.body(body).expect("a header that is valid"))
}
