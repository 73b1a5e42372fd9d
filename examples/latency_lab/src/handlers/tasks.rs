//! Handlers that wait while another task takes the time.

use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::response::IntoResponse;

use super::Time;
use crate::actor::Actor;
use crate::handler_clock::HandlerClock;

/// The other task waits, too.
pub(crate) async fn spawn(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    tokio::spawn(sleeping(time.duration())).await.expect("it does not panic");
    clock.stop("slept elsewhere\n")
}

/// The other task computes.
pub(crate) async fn spawn_spin(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    tokio::spawn(spinning(time.duration())).await.expect("it does not panic");
    clock.stop("spun elsewhere\n")
}

/// Blocks where one may: on a thread that is there for it.
pub(crate) async fn spawn_blocking(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    blocking(time.duration()).await;
    clock.stop("blocked elsewhere\n")
}

/// The other task waits for a third, which blocks where one may.
pub(crate) async fn nested(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    tokio::spawn(blocking(time.duration())).await.expect("it does not panic");
    clock.stop("blocked two tasks away\n")
}

/// The other task lives long, and answers by channel.
pub(crate) async fn channel(State(actor): State<Actor>, Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    actor.ask(time.duration()).await;
    clock.stop("answered\n")
}

async fn sleeping(time: Duration) {
    tokio::time::sleep(time).await;
}

#[expect(clippy::unused_async, reason = "it is to be a task")]
async fn spinning(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

async fn blocking(time: Duration) {
    tokio::task::spawn_blocking(move || std::thread::sleep(time)).await.expect("it does not panic");
}
