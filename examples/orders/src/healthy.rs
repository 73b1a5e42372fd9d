//! Handlers that make as few calls as they need.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use tokio::task::JoinError;

use crate::App;
use crate::app::{Database, Pools};
use crate::failure::Failure;

/// An order as it is sent: a price for each item.
#[derive(Deserialize)]
pub(crate) struct NewOrder {
    pub(crate) id: i64,
    pub(crate) customer: String,
    pub(crate) cents: Vec<i64>,
}

/// A rate from the cache, and from the service where it is not there.
pub(crate) async fn rate(State(app): State<App>, Path(currency): Path<String>) -> Result<Json<u64>, Failure> {
    let key = format!("rate:{currency}");
    if let Some(rate) = app.cached(&key).await? {
        return Ok(Json(rate));
    }
    let rate = app.ask(&format!("/rates/{currency}")).await?;
    app.cache(&key, rate).await?;
    Ok(Json(rate))
}

/// What an order costs: one query for all of its items.
pub(crate) async fn total(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<i64>, Failure> {
    let pool = match &app.database {
        Some(Database::Postgres(Pools { pool, .. })) => pool,
        Some(Database::Sqlite(sqlite)) => return Ok(Json(sqlite.prices(id).await?.iter().sum())),
        None => return Err(Failure::not_found("database")),
    };
    let items: Vec<(i64,)> =
        sqlx::query_as("SELECT cents FROM items WHERE order_id = $1").bind(id).fetch_all(pool).await?;
    Ok(Json(items.iter().map(|(cents,)| cents).sum()))
}

/// Takes an order, in one transaction.
pub(crate) async fn create(State(app): State<App>, Json(order): Json<NewOrder>) -> Result<Json<i64>, Failure> {
    let pool = match &app.database {
        Some(Database::Postgres(Pools { pool, .. })) => pool,
        Some(Database::Sqlite(sqlite)) => return Ok(Json(sqlite.create(order).await?)),
        None => return Err(Failure::not_found("database")),
    };
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO orders (id, customer) VALUES ($1, $2)")
        .bind(order.id)
        .bind(order.customer)
        .execute(&mut *transaction)
        .await?;
    let lines: Vec<i64> = (1..).take(order.cents.len()).collect();
    sqlx::query("INSERT INTO items SELECT $1, line, cents FROM unnest($2, $3) AS new (line, cents)")
        .bind(order.id)
        .bind(lines)
        .bind(order.cents)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Json(order.id))
}

/// Three calls at the same time.
pub(crate) async fn together(State(app): State<App>) -> Result<Json<u64>, Failure> {
    let (euro, pound, dollar) = tokio::join!(app.ask("/rates/EUR"), app.ask("/rates/GBP"), app.ask("/slow?ms=20"));
    Ok(Json(euro? + pound? + dollar?))
}

/// A call that another task makes.
pub(crate) async fn spawned(State(app): State<App>) -> Result<Json<u64>, Failure> {
    let task = tokio::spawn(async move { app.ask("/rates/EUR").await });
    Ok(Json(task.await??))
}

impl From<JoinError> for Failure {
    fn from(_: JoinError) -> Self {
        Self::not_found("task")
    }
}
