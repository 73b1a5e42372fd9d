//! A server that sends secrets to all that it calls, to see that a tracer keeps them to itself: each has `hunter2` in it,
//! or the digits 7741093.
//!
//! On any request it calls those that `DATABASE_URL`, `REDIS_URL` and `SERVICE` (an address of HTTP) name. `PORT` takes
//! another port than 8085, 0 any free one.

mod http;
mod postgres;
mod redis;

use std::error::Error;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;

/// Why a call has failed that should not.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 8085,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, Router::new().fallback(answer)).await?)
}

async fn answer() -> (StatusCode, String) {
    match tell().await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(failure) => (StatusCode::BAD_GATEWAY, failure.to_string()),
    }
}

async fn tell() -> Result<(), Failure> {
    postgres::tell(&std::env::var("DATABASE_URL")?).await?;
    redis::tell(&std::env::var("REDIS_URL")?).await?;
    http::tell(&std::env::var("SERVICE")?).await
}
