//! The second service: what things cost.

use std::io;
use std::time::Duration;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

/// How long to sleep.
#[derive(Deserialize)]
struct Sleep {
    ms: u64,
}

/// All routes.
pub fn routes() -> Router {
    Router::new().route("/prices/{item}", get(price)).route("/rates/{currency}", get(rate)).route("/slow", get(slow))
}

/// Serves on any free port, from now on; the URL.
pub async fn start() -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, routes()).await });
    Ok(url)
}

/// The price of an item in cents, which follows from its name.
async fn price(Path(item): Path<String>) -> Json<u64> {
    Json(item.bytes().map(u64::from).sum())
}

/// How many cents there are to a unit of the currency.
async fn rate(Path(currency): Path<String>) -> Result<Json<u64>, StatusCode> {
    match currency.as_str() {
        "EUR" => Ok(Json(100)),
        "GBP" => Ok(Json(118)),
        "USD" => Ok(Json(91)),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

async fn slow(Query(Sleep { ms }): Query<Sleep>) -> Json<u64> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(ms)
}
