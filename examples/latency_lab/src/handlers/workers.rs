//! Handlers that are hard on the worker thread, or only seem to be.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Query;
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::task::JoinHandle;

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

/// `n` tasks that hold the worker for `ms` milliseconds each.
#[derive(Deserialize)]
pub(crate) struct Others {
    n: usize,
    ms: u64,
}

#[expect(clippy::unused_async, reason = "it is to be a task")]
async fn holding(time: Duration) {
    std::thread::sleep(time);
}

fn spawn(others: &Others) -> Vec<JoinHandle<()>> {
    (0..others.n).map(|_| tokio::spawn(holding(Duration::from_millis(others.ms)))).collect()
}

/// Gives way to tasks that it has spawned.
pub(crate) async fn give_way(Query(others): Query<Others>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    drop(spawn(&others));
    tokio::task::yield_now().await;
    clock.stop("gave way\n")
}

/// Does so much at a time that the runtime has it give way to tasks that it has spawned.
pub(crate) async fn spend(Query(others): Query<Others>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    drop(spawn(&others));
    // A task may do 128 operations in one poll.
    for _ in 0..200 {
        tokio::task::consume_budget().await;
    }
    clock.stop("spent its budget\n")
}

/// Gives way `n` times to the worker's other tasks; each time it is woken at once.
pub(crate) async fn self_wake(Query(times): Query<Times>) -> impl IntoResponse {
    let clock = HandlerClock::start();
    for _ in 0..times.n {
        tokio::task::yield_now().await;
    }
    clock.stop("yielded\n")
}
