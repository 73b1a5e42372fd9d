//! A server whose handlers take known time, to hold what a tracer says against the truth.
//!
//! Each response carries in `x-handler-us` the time that its handler took by its own clock. `PORT`
//! takes another port than 8081, 0 any free one; `TOKIO_WORKER_THREADS` sets the number of workers.

mod actor;
mod handler_clock;
mod handlers;

use std::io;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use actor::Actor;
use handlers::{tasks, workers};

#[tokio::main]
async fn main() -> io::Result<()> {
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(io::Error::other)?,
        Err(_) => 8081,
    };
    let routes = Router::new()
        .route("/fast", get(handlers::fast))
        .route("/sleep", get(handlers::sleep))
        .route("/block", get(handlers::block))
        .route("/spin", get(handlers::spin))
        .route("/spawn", get(tasks::spawn))
        .route("/spawn_spin", get(tasks::spawn_spin))
        .route("/spawn_blocking", get(tasks::spawn_blocking))
        .route("/nested", get(tasks::nested))
        .route("/channel", get(tasks::channel))
        .route("/in_place", get(workers::in_place))
        .route("/lock", get(workers::lock))
        .route("/self_wake", get(workers::self_wake))
        .route("/give_way", get(workers::give_way))
        .route("/spend", get(workers::spend))
        .route("/echo", post(handlers::echo).layer(DefaultBodyLimit::disable()))
        .route("/download", get(handlers::download))
        .route("/chunks", get(handlers::chunks))
        .route("/abort", get(handlers::abort))
        .route("/status/{code}", get(handlers::status))
        .route("/users/{id}", get(handlers::user))
        .with_state(Actor::start());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes).await
}
