//! A server that asks SQLite in its own process: on a worker of the runtime, or in the blocking pool.
//!
//! The path says how: `/worker/17` and `/pool/17` ask one statement whose text has the number. `PORT` takes another port
//! than 8088, 0 any free one.

use std::convert::Infallible;
use std::error::Error;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rusqlite::{Connection, ffi};
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// The connections, so that several requests are served at a time.
type Database = Arc<Vec<Mutex<Connection>>>;

const CONNECTIONS: usize = 4;

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let open = |_| Connection::open(folder.path().join("items.db")).map(Mutex::new);
    let database: Database = Arc::new((0..CONNECTIONS).map(open).collect::<Result<_, _>>()?);
    with(&database, 0, |connection| {
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
             CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
             WITH RECURSIVE numbers (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM numbers WHERE id < 100)
             INSERT INTO items SELECT id, 'item ' || id FROM numbers;",
        )
    })?;
    let port: u16 = std::env::var("PORT").map_or(Ok(8088), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let database = Arc::clone(&database);
        tokio::spawn(async move {
            let service = service_fn(|request| handle(request, &database));
            // A client that is gone needs no answer.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn handle(request: Request<Incoming>, database: &Database) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (status, body) = match answer(&path, database).await {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}

async fn answer(path: &str, database: &Database) -> Result<String, Failure> {
    let (how, number) = path.trim_start_matches('/').split_once('/').unwrap_or((path, "0"));
    let number: usize = number.parse()?;
    let database = Arc::clone(database);
    Ok(match how {
        "worker" => with(&database, number, |connection| one(connection, number))?,
        "pool" => {
            tokio::task::spawn_blocking(move || with(&database, number, |connection| one(connection, number))).await??
        }
        "rows" => with(&database, number, |connection| rows(connection, number))?,
        "nested" => with(&database, 0, |connection| nested(connection, number))?,
        "script" => with(&database, 0, script)?,
        "twice" => with(&database, 0, |connection| {
            connection.execute("INSERT INTO items VALUES (?1, 'item 1')", [1000 + number])?;
            Ok(String::new())
        })?,
        "locked" => locked(&database)?,
        _ => return Err("there is no such route".into()),
    })
}

/// Does something on a connection that is free, or on this one.
fn with<T>(
    database: &Database,
    number: usize,
    ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let connection = database[number % CONNECTIONS].lock().unwrap_or_else(PoisonError::into_inner);
    ask(&connection)
}

/// A statement of which there is no other.
fn one(connection: &Connection, number: usize) -> rusqlite::Result<String> {
    let statement =
        format!("SELECT name AS request_{number} FROM items WHERE name <> 'hunter2' AND id = {}", 1 + number % 100);
    connection.query_row(&statement, [], |row| row.get(0))
}

/// All rows up to a number.
fn rows(connection: &Connection, number: usize) -> rusqlite::Result<String> {
    let mut statement = connection.prepare("SELECT name FROM items WHERE id <= ?1")?;
    let names: rusqlite::Result<Vec<String>> = statement.query_map([number], |row| row.get(0))?.collect();
    Ok(names?.len().to_string())
}

/// A statement for each row of another one, which is not read to its end.
fn nested(connection: &Connection, number: usize) -> rusqlite::Result<String> {
    let mut outer = connection.prepare("SELECT id FROM items ORDER BY id")?;
    let mut inner = connection.prepare("SELECT name FROM items WHERE id = ?1")?;
    let mut ids = outer.query([])?;
    for _ in 0..number {
        let Some(id) = ids.next()? else { break };
        inner.query_row([id.get::<_, i64>(0)?], |row| row.get::<_, String>(0))?;
    }
    Ok(String::new())
}

/// Several statements at once, by `sqlite3_exec`.
fn script(connection: &Connection) -> rusqlite::Result<String> {
    let script = CString::new("BEGIN; UPDATE items SET name = 'hunter2' WHERE id = 99; COMMIT")?;
    // SAFETY: the connection is open and ours alone, and the text ends with a zero.
    let code = unsafe {
        ffi::sqlite3_exec(connection.handle(), script.as_ptr(), None, std::ptr::null_mut(), std::ptr::null_mut())
    };
    if code == ffi::SQLITE_OK {
        Ok(String::new())
    } else {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }
}

/// Writes while another connection has the lock, and does not wait for it.
fn locked(database: &Database) -> rusqlite::Result<String> {
    with(database, 0, |holder| {
        holder.execute_batch("BEGIN IMMEDIATE")?;
        let result = with(database, 1, |other| {
            other.busy_timeout(std::time::Duration::ZERO)?;
            other.execute("UPDATE items SET name = name", [])
        });
        holder.execute_batch("ROLLBACK")?;
        result.map(|_| String::new())
    })
}
