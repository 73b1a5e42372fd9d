//! The service for prices as a server of its own, on `PORT` or any free port. It prints a line for each request.

use std::error::Error;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::net::TcpListener;

use orders::prices;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse()?,
        Err(_) => 0,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, prices::routes().layer(from_fn(log))).await?)
}

/// Prints what was asked for and what was answered.
async fn log(request: Request, next: Next) -> Response {
    let asked = format!("{} {}", request.method(), request.uri());
    let response = next.run(request).await;
    println!("{asked} {}", response.status().as_u16());
    response
}
