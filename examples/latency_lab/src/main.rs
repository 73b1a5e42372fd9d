//! A server whose handlers take known time, to hold what a tracer says against the truth.
//!
//! Each response carries in `x-handler-us` the time that its handler took by its own clock. `PORT`
//! takes another port than 8081, 0 any free one; `TOKIO_WORKER_THREADS` sets the number of workers.

mod handler_clock;
mod handlers;

use std::io;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::TcpListener;

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
        .route("/echo", post(handlers::echo).layer(DefaultBodyLimit::disable()))
        .route("/download", get(handlers::download))
        .route("/chunks", get(handlers::chunks))
        .route("/abort", get(handlers::abort))
        .route("/status/{code}", get(handlers::status))
        .route("/users/{id}", get(handlers::user));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes).await
}
