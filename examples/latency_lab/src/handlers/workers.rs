//! Handlers that are hard on the worker thread, or only seem to be.

use std::sync::{Mutex, PoisonError};

use axum::extract::Query;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::Time;
use crate::handler_clock::HandlerClock;

/// Blocks its thread, and has the runtime give the worker's other tasks to another before.
pub(crate) async fn in_place(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    tokio::task::block_in_place(|| std::thread::sleep(time.duration()));
    clock.stop("blocked in place\n")
}

static LOCK: Mutex<()> = Mutex::new(());

/// Sleeps with a lock in its hands: of two at a time, one blocks on the lock.
pub(crate) async fn lock(Query(time): Query<Time>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    let held = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::sleep(time.duration());
    drop(held);
    clock.stop("held the lock\n")
}

#[derive(Deserialize)]
pub(crate) struct Times {
    n: usize,
}

/// Gives way `n` times to the worker's other tasks; each time it is woken at once.
pub(crate) async fn self_wake(Query(times): Query<Times>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    for _ in 0..times.n {
        tokio::task::yield_now().await;
    }
    clock.stop("yielded\n")
}
