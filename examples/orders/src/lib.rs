//! A server that keeps orders, and asks for all that it needs: a database, a cache, and a service that knows prices. Some routes are as they should be; others make one mistake each, to see what a tracer says of it.
//!
//! The order with the number n has n items, so that it is known how many calls each request makes.

mod app;
mod database;
mod failure;
mod healthy;
mod mistakes;
pub mod prices;
mod sqlite;

use axum::Router;
use axum::routing::{get, post};

pub use app::App;
use app::Database;

/// All routes. Those that need the database are there if there is one, and two only with PostgreSQL.
pub fn routes(app: App) -> Router {
    let mut routes = Router::new()
        .route("/rates/{currency}", get(healthy::rate))
        .route("/together", get(healthy::together))
        .route("/spawned", get(healthy::spawned))
        .route("/orders/{id}", get(mistakes::one_by_one))
        .route("/slow", get(mistakes::slow))
        .route("/down", get(mistakes::down));
    if app.database.is_some() {
        routes = routes
            .route("/orders", post(healthy::create))
            .route("/orders/{id}/total", get(healthy::total))
            .route("/search", get(mistakes::search));
    }
    if let Some(Database::Postgres(_)) = app.database {
        routes = routes.route("/report", get(mistakes::pool_of_one)).route("/broken", get(mistakes::broken));
    }
    routes.with_state(app)
}
