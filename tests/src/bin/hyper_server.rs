//! Hyper by hand on a runtime of one thread: each connection is a task, and there is no framework.
//!
//! Its handlers are the first four of `latency_lab`, and one that gives way to tasks that it has spawned. `PORT` takes another port than 8083, 0 any free one.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use beyla_tests::accept;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

fn main() -> io::Result<()> {
    accept::each_on_one_thread(8083, serve)
}

async fn serve(connection: TcpStream) {
    // A client that is gone needs no answer.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service_fn(handle)).await;
}

async fn handle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let ms = query.strip_prefix("ms=").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let time = Duration::from_millis(ms);
    let start = Instant::now();
    let (status, body) = match request.uri().path() {
        "/fast" => (StatusCode::OK, "fast\n"),
        "/sleep" => (StatusCode::OK, sleep(time).await),
        "/block" => (StatusCode::OK, block(time)),
        "/spin" => (StatusCode::OK, spin(time)),
        "/give_way" => (StatusCode::OK, give_way(time).await),
        _ => (StatusCode::NOT_FOUND, ""),
    };
    let micros = start.elapsed().as_micros();
    let response = Response::builder().status(status).header("x-handler-us", format!("{micros:09}"));
    Ok(response.body(Full::from(body)).expect("a header that is valid"))
}

async fn sleep(time: Duration) -> &'static str {
    tokio::time::sleep(time).await;
    "slept\n"
}

fn block(time: Duration) -> &'static str {
    std::thread::sleep(time);
    "blocked\n"
}

async fn give_way(time: Duration) -> &'static str {
    for _ in 0..5 {
        tokio::spawn(holding(time));
    }
    tokio::task::yield_now().await;
    "gave way\n"
}

#[expect(clippy::unused_async, reason = "it is to be a task")]
async fn holding(time: Duration) {
    std::thread::sleep(time);
}

fn spin(time: Duration) -> &'static str {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    "spun\n"
}
