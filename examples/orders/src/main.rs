//! The orders as a server, on `PORT` or 8083; 0 takes any free port.
//!
//! `DATABASE_URL`, `REDIS_URL` and `PRICES_URL` name the servers that it calls. Without the first it keeps the orders in
//! SQLite, and if that is empty nowhere; without the second it does without a cache; without the last it starts the service
//! for prices itself, as a process of its own.

use std::error::Error;

use tokio::net::TcpListener;

use orders::{App, prices};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("prices") {
        return prices::serve_parent().await;
    }
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 8083,
    };
    // Before the service for prices does, so that this is the port that the tool names.
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let app = App::connect().await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, orders::routes(app)).await?)
}
