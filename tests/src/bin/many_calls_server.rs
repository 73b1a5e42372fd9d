//! A server that makes the calls that are planned for each request: `/17` is the request with this number.
//!
//! `PORT` takes another port than 8086, 0 any free one. `DATABASE_URL`, `REDIS_URL` and `PRICES_URL` name whom it calls.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use beyla_tests::planned::{self, Library, Order, Planned};
use futures_util::future::try_join_all;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// Whom it calls.
struct Called {
    database: PgPool,
    cache: MultiplexedConnection,
    client: reqwest::Client,
    prices: String,
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), Failure> {
    let called = Arc::new(Called {
        database: PgPoolOptions::new().max_connections(8).connect(&std::env::var("DATABASE_URL")?).await?,
        cache: redis::Client::open(std::env::var("REDIS_URL")?)?.get_multiplexed_async_connection().await?,
        client: reqwest::Client::builder().no_proxy().build()?,
        prices: std::env::var("PRICES_URL")?,
    });
    let port: u16 = std::env::var("PORT").map_or(Ok(8086), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let called = Arc::clone(&called);
        tokio::spawn(async move {
            let service = service_fn(|request| handle(request, &called));
            // A client that is gone needs no answer.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn handle(request: Request<Incoming>, called: &Arc<Called>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match answer(request.uri().path(), called).await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}

async fn answer(path: &str, called: &Arc<Called>) -> Result<(), Failure> {
    let number = path.trim_start_matches('/').parse()?;
    let calls = planned::calls(number);
    match planned::order(number) {
        Order::InTurn => {
            for call in calls {
                called.call(&call).await?;
            }
        }
        Order::Together => {
            let calls: Vec<Planned> = calls.collect();
            try_join_all(calls.iter().map(|call| called.call(call))).await?;
        }
        Order::Spawned => {
            for call in calls {
                let called = Arc::clone(called);
                tokio::spawn(async move { called.call(&call).await }).await??;
            }
        }
    }
    Ok(())
}

impl Called {
    async fn call(&self, call: &Planned) -> Result<(), Failure> {
        match call.library {
            Library::Sqlx => {
                sqlx::query(sqlx::AssertSqlSafe(call.asked.clone())).fetch_one(&self.database).await?;
            }
            Library::Redis => {
                let _: Option<String> = redis::cmd("GET").arg(&call.asked).query_async(&mut self.cache.clone()).await?;
            }
            Library::Reqwest => {
                let url = format!("{}{}", self.prices, call.asked);
                self.client.get(url).send().await?.error_for_status()?.bytes().await?;
            }
            Library::SqlxMysql | Library::MysqlAsync => unreachable!("they are planned for `mysql_server`"),
        }
        Ok(())
    }
}
