//! The orders as a server, on `PORT` or 8083; 0 takes any free port.
//!
//! `DATABASE_URL`, `REDIS_URL` and `PRICES_URL` name the servers that it calls. Without the first two it does without a
//! database and a cache; without the last it starts the service for prices itself, on a port of its own.

use std::error::Error;

use tokio::net::TcpListener;

use orders::App;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 8083,
    };
    let app = App::connect().await?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, orders::routes(app)).await?)
}
