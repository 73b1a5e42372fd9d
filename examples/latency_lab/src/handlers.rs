//! The handlers: each takes its time in another way.

pub(crate) mod tasks;
pub(crate) mod workers;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::stream;
use serde::Deserialize;

use crate::handler_clock::HandlerClock;

#[derive(Deserialize)]
pub(crate) struct Time {
    ms: u64,
}

impl Time {
    fn duration(&self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

/// No time at all.
pub(crate) async fn fast() -> impl IntoResponse {
    HandlerClock::start().stop("fast\n")
}

/// Waits as async code should: the worker is free.
pub(crate) async fn sleep(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    tokio::time::sleep(time.duration()).await;
    clock.stop("slept\n")
}

/// Waits as async code should not: the worker is held, and idle.
pub(crate) async fn block(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    std::thread::sleep(time.duration());
    clock.stop("blocked\n")
}

/// Computes: the worker is held, and busy.
pub(crate) async fn spin(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    let end = Instant::now() + time.duration();
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    clock.stop("spun\n")
}

/// Answers what was sent.
pub(crate) async fn echo(body: Bytes) -> impl IntoResponse {
    HandlerClock::start().stop(body)
}

#[derive(Deserialize)]
pub(crate) struct Size {
    bytes: usize,
}

/// A body of a length known beforehand.
pub(crate) async fn download(Query(size): Query<Size>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    let body = Bytes::from(vec![b'x'; size.bytes]);
    clock.stop(body)
}

/// `n` chunks of `bytes` bytes each, with `ms` milliseconds between one and the next.
#[derive(Deserialize)]
pub(crate) struct Chunks {
    n: usize,
    bytes: usize,
    ms: u64,
}

/// A body that comes in chunks, most of it after the handler is done.
pub(crate) async fn chunks(Query(chunks): Query<Chunks>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    let chunk = Bytes::from(vec![b'x'; chunks.bytes]);
    let body = stream::unfold(0, move |sent| {
        let chunk = chunk.clone();
        async move {
            if sent == chunks.n {
                return None;
            }
            if sent > 0 {
                tokio::time::sleep(Duration::from_millis(chunks.ms)).await;
            }
            Some((Ok::<_, Infallible>(chunk), sent + 1))
        }
    });
    clock.stop(Body::from_stream(body))
}

/// Closes the connection without an answer.
///
/// Unwinding ends the connection's task, and with it the connection. It starts without `panic!`, so
/// that nothing is printed.
pub(crate) async fn abort() -> StatusCode {
    std::panic::resume_unwind(Box::new("abort"))
}

/// Answers the status asked for.
pub(crate) async fn status(Path(code): Path<u16>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    clock.stop(StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST))
}

/// A path with an id in it.
pub(crate) async fn user(Path(id): Path<String>) -> impl IntoResponse {
    HandlerClock::start().stop(format!("user {id}\n"))
}
