//! A server that sends secrets to all that it calls, to see that a tracer keeps them to itself: each has `hunter2` in it,
//! or the digits 7741093.
//!
//! On any request it calls those that `DATABASE_URL`, `REDIS_URL`, `SERVICE` (an address of HTTP) and, if it is set, `MYSQL_URL`
//! name. `PORT` takes another port than 8085, 0 any free one.

mod http;
mod mysql;
mod postgres;
mod redis;

use std::convert::Infallible;
use std::error::Error;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Why a call has failed that should not.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), Failure> {
    let port: u16 = std::env::var("PORT").map_or(Ok(8085), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A client that is gone needs no answer.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service_fn(answer)).await;
        });
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match tell().await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(failure) => (StatusCode::BAD_GATEWAY, failure.to_string()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}

async fn tell() -> Result<(), Failure> {
    postgres::tell(&std::env::var("DATABASE_URL")?).await?;
    if let Ok(url) = std::env::var("MYSQL_URL") {
        mysql::tell(&url).await?;
    }
    redis::tell(&std::env::var("REDIS_URL")?).await?;
    http::tell(&std::env::var("SERVICE")?).await
}
