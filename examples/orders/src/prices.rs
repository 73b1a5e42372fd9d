//! The second service: what things cost.

use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
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
    Router::new()
        .route("/prices/{order}/{line}", get(price))
        .route("/rates/{currency}", get(rate))
        .route("/slow", get(slow))
}

/// Starts this program once more, with the argument `prices`; the process, and its URL.
pub(crate) fn start() -> Result<(Child, String), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("prices").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut url = String::new();
    let stdout = child.stdout.take().ok_or("the service has no output")?;
    BufReader::new(stdout).read_line(&mut url)?;
    Ok((child, url.trim().to_owned()))
}

/// Serves on any free port, and prints the URL. It ends with the process that has started it, which holds the other end
/// of its input.
pub async fn serve_parent() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    std::thread::spawn(|| {
        // However that ends, there is nobody left to serve.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    Ok(axum::serve(listener, routes()).await?)
}

/// The price of the item on a line of an order, in cents.
async fn price(Path((_, line)): Path<(u64, u64)>) -> Json<u64> {
    Json(100 * line)
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
