//! A server that asks MariaDB, by `SQLx` and by `mysql_async`: `/17` makes the calls that are planned for the request with
//! this number, `/each` makes one of each kind.
//!
//! `PORT` takes another port than 8087, 0 any free one. `SQLX_URL` and `MYSQL_ASYNC_URL` name the database.

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
use mysql_async::prelude::Queryable as _;
use sqlx::Connection as _;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// The database, as each library sees it.
struct Called {
    sqlx: MySqlPool,
    mysql_async: mysql_async::Pool,
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), Failure> {
    let called = Arc::new(Called {
        sqlx: MySqlPoolOptions::new().max_connections(8).connect(&std::env::var("SQLX_URL")?).await?,
        mysql_async: mysql_async::Pool::new(&*std::env::var("MYSQL_ASYNC_URL")?),
    });
    let port: u16 = std::env::var("PORT").map_or(Ok(8087), |port| port.parse())?;
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
    let answered = match request.uri().path() {
        "/each" => called.each().await,
        path => called.planned(path).await,
    };
    let (status, body) = match answered {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}

impl Called {
    async fn planned(self: &Arc<Self>, path: &str) -> Result<(), Failure> {
        let number = path.trim_start_matches('/').parse()?;
        let calls = planned::calls_of_mysql(number);
        match planned::order(number) {
            Order::InTurn => {
                for call in calls {
                    self.call(&call).await?;
                }
            }
            Order::Together => {
                let calls: Vec<Planned> = calls.collect();
                try_join_all(calls.iter().map(|call| self.call(call))).await?;
            }
            Order::Spawned => {
                for call in calls {
                    let called = Arc::clone(self);
                    tokio::spawn(async move { called.call(&call).await }).await??;
                }
            }
        }
        Ok(())
    }

    async fn call(&self, call: &Planned) -> Result<(), Failure> {
        if call.library == Library::SqlxMysql {
            sqlx::query(sqlx::AssertSqlSafe(call.asked.clone())).fetch_one(&self.sqlx).await?;
        } else {
            self.mysql_async.get_conn().await?.query_drop(&*call.asked).await?;
        }
        Ok(())
    }

    async fn each(&self) -> Result<(), Failure> {
        self.each_by_sqlx().await?;
        self.each_by_mysql_async().await
    }

    async fn each_by_sqlx(&self) -> Result<(), Failure> {
        let mut connection = self.sqlx.acquire().await?;
        sqlx::raw_sql("CREATE TABLE items (id INT PRIMARY KEY, name LONGTEXT)").execute(&mut *connection).await?;
        for (id, name) in [(1, "hunter2-one"), (2, "hunter2-two")] {
            let insert = sqlx::query("INSERT INTO items VALUES (?, ?)").bind(id).bind(name);
            insert.execute(&mut *connection).await?;
        }
        let again = sqlx::query("INSERT INTO items VALUES (?, ?)").bind(1).bind("hunter2-again");
        assert!(again.execute(&mut *connection).await.is_err(), "it is there");
        let some = sqlx::query("SELECT name FROM `items` WHERE id < ? AND name <> \"hunter2-x\"").bind(7_741_093);
        assert_eq!(some.fetch_all(&mut *connection).await?.len(), 2);
        assert!(
            sqlx::raw_sql("SELECT 'hunter2' FROM nowhere").execute(&mut *connection).await.is_err(),
            "it is not there"
        );
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql("UPDATE items SET name = 'hunter2-three'").execute(&mut *transaction).await?;
        transaction.commit().await?;
        sqlx::raw_sql("SELECT 7741093; SELECT name FROM items").fetch_all(&mut *connection).await?;
        let long = sqlx::query("UPDATE items SET name = ? WHERE id = 2").bind("hunter2".repeat(150_000));
        long.execute(&mut *connection).await?;
        let many = "SELECT items.name, 'hunter2' FROM items, seq_1_to_5000 WHERE id = 1";
        assert_eq!(sqlx::query(many).fetch_all(&mut *connection).await?.len(), 5000);
        sqlx::query("SELECT name FROM items WHERE id = 2").fetch_one(&mut *connection).await?;
        Ok(())
    }

    async fn each_by_mysql_async(&self) -> Result<(), Failure> {
        let mut connection = self.mysql_async.get_conn().await?;
        connection.ping().await?;
        let names: Vec<(u32, u32)> = connection.query("SELECT id, 7741093 FROM items").await?;
        assert_eq!(names.len(), 2);
        let name = ("hunter2-four", 1);
        connection.exec_drop("UPDATE items SET name = ? WHERE id = ?", name).await?;
        assert!(connection.query_drop("SELEKT 'hunter2'").await.is_err(), "it is no SQL");
        connection.query_drop("DELETE FROM items WHERE name = 'it\\'s hunter2'").await?;
        Ok(())
    }
}
