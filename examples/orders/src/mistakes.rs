//! Handlers with one mistake each.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use sqlx::AssertSqlSafe;

use crate::App;
use crate::app::{Database, Pools};
use crate::failure::Failure;

/// Whose orders are looked for.
#[derive(Deserialize)]
pub(crate) struct Search {
    customer: String,
}

/// What an order costs, with a call for each of its items, one after the other: the N+1 queries that an ORM makes of a
/// loop. Without a database the service is asked for each item.
pub(crate) async fn one_by_one(State(app): State<App>, Path(id): Path<i64>) -> Result<Json<u64>, Failure> {
    let mut total = app.ask("/rates/EUR").await?;
    let is_known = match &app.database {
        Some(Database::Postgres(Pools { pool, .. })) => {
            let order: Option<(String,)> =
                sqlx::query_as("SELECT customer FROM orders WHERE id = $1").bind(id).fetch_optional(pool).await?;
            order.is_some()
        }
        Some(Database::Sqlite(sqlite)) => sqlite.customer(id).await?.is_some(),
        None => true,
    };
    if !is_known {
        return Err(Failure::not_found("order"));
    }
    for line in 1..=id {
        total += match &app.database {
            Some(Database::Postgres(Pools { pool, .. })) => {
                let (cents,): (i64,) = sqlx::query_as("SELECT cents FROM items WHERE order_id = $1 AND line = $2")
                    .bind(id)
                    .bind(line)
                    .fetch_one(pool)
                    .await?;
                cents.unsigned_abs()
            }
            Some(Database::Sqlite(sqlite)) => sqlite.price(id, line).await?.unsigned_abs(),
            None => app.ask(&format!("/prices/{id}/{line}")).await?,
        };
    }
    Ok(Json(total))
}

/// A service that takes its time.
pub(crate) async fn slow(State(app): State<App>) -> Result<Json<u64>, Failure> {
    Ok(Json(app.ask("/slow?ms=50").await?))
}

/// A service that is not there.
pub(crate) async fn down(State(app): State<App>) -> Result<String, Failure> {
    Ok(app.ask_nobody().await?.to_string())
}

/// A query of 30 ms on a pool with one connection: requests wait for each other.
pub(crate) async fn pool_of_one(State(app): State<App>) -> Result<Json<i64>, Failure> {
    let pool_of_one = &postgres(&app)?.pool_of_one;
    let (count,) = sqlx::query_as("SELECT count(*) FROM items, pg_sleep(0.03)").fetch_one(pool_of_one).await?;
    Ok(Json(count))
}

/// A literal in the text of a statement, where it should be a parameter.
pub(crate) async fn search(
    State(app): State<App>,
    Query(Search { customer }): Query<Search>,
) -> Result<Json<Vec<i64>>, Failure> {
    let statement = format!("SELECT id FROM orders WHERE customer = '{}' ORDER BY id", customer.replace('\'', "''"));
    if let Some(Database::Sqlite(sqlite)) = &app.database {
        return Ok(Json(sqlite.search(statement).await?));
    }
    let found: Vec<(i64,)> = sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&postgres(&app)?.pool).await?;
    Ok(Json(found.into_iter().map(|(id,)| id).collect()))
}

/// A statement about a table that does not exist.
pub(crate) async fn broken(State(app): State<App>) -> Result<Json<i64>, Failure> {
    let (count,) = sqlx::query_as("SELECT count(*) FROM invoices").fetch_one(&postgres(&app)?.pool).await?;
    Ok(Json(count))
}

fn postgres(app: &App) -> Result<&Pools, Failure> {
    match &app.database {
        Some(Database::Postgres(pools)) => Ok(pools),
        Some(Database::Sqlite(_)) | None => Err(Failure::not_found("database")),
    }
}
