//! What the server calls.

use std::error::Error;
use std::process::Child;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use reqwest::StatusCode;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::failure::Failure;
use crate::sqlite::Sqlite;
use crate::{database, prices};

/// The servers that all handlers share.
#[derive(Clone)]
pub struct App {
    /// The database, unless `DATABASE_URL` is empty.
    pub(crate) database: Option<Database>,
    /// The cache, if `REDIS_URL` names one: one connection, over which all requests send their commands.
    cache: Option<MultiplexedConnection>,
    /// The service for prices.
    client: reqwest::Client,
    url: String,
    /// Its process, if this one has started it.
    _service: Option<Arc<Child>>,
    token: Option<String>,
}

/// Where the orders are.
#[derive(Clone)]
pub(crate) enum Database {
    /// PostgreSQL, in two pools.
    Postgres(Pools),
    /// In this process.
    Sqlite(Sqlite),
}

/// Connections of PostgreSQL.
#[derive(Clone)]
pub(crate) struct Pools {
    /// With a connection for each request that needs one at the same time.
    pub(crate) pool: PgPool,
    /// With one for all.
    pub(crate) pool_of_one: PgPool,
}

impl App {
    /// Connects to what the environment names, and makes the tables of the database.
    pub async fn connect() -> Result<Self, Box<dyn Error>> {
        let database = match std::env::var("DATABASE_URL") {
            Ok(url) if url.is_empty() => None,
            Ok(url) => {
                let pool = PgPoolOptions::new().max_connections(16).connect(&url).await?;
                let pool_of_one = PgPoolOptions::new().max_connections(1).connect(&url).await?;
                database::create_tables(&pool).await?;
                Some(Database::Postgres(Pools { pool, pool_of_one }))
            }
            Err(_) => Some(Database::Sqlite(Sqlite::open()?)),
        };
        let cache = match std::env::var("REDIS_URL") {
            Ok(url) => Some(redis::Client::open(url)?.get_multiplexed_async_connection().await?),
            Err(_) => None,
        };
        let (service, url) = if let Ok(url) = std::env::var("PRICES_URL") {
            (None, url)
        } else {
            let (child, url) = prices::start()?;
            (Some(Arc::new(child)), url)
        };
        let token = std::env::var("PRICES_TOKEN").ok();
        Ok(Self { database, cache, client: reqwest::Client::new(), url, _service: service, token })
    }

    /// Asks the service for prices.
    pub(crate) async fn ask(&self, path: &str) -> Result<u64, Failure> {
        let mut request = self.client.get(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Asks a service that is not there.
    pub(crate) async fn ask_nobody(&self) -> Result<StatusCode, Failure> {
        Ok(self.client.get("http://127.0.0.1:1/").send().await?.status())
    }

    /// What is cached under this key.
    pub(crate) async fn cached(&self, key: &str) -> Result<Option<u64>, Failure> {
        match self.cache.clone() {
            Some(mut cache) => Ok(redis::cmd("GET").arg(key).query_async(&mut cache).await?),
            None => Ok(None),
        }
    }

    /// Caches a value for a minute.
    pub(crate) async fn cache(&self, key: &str, value: u64) -> Result<(), Failure> {
        match self.cache.clone() {
            Some(mut cache) => {
                Ok(redis::cmd("SET").arg(key).arg(value).arg("EX").arg(60).query_async(&mut cache).await?)
            }
            None => Ok(()),
        }
    }
}
