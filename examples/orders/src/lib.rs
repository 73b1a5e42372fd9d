//! A server that keeps orders, and asks others for all that it needs: a database, a cache, and a service that knows
//! prices. Some routes are as they should be; others make one mistake each, to see what a tracer says of it.
//!
//! The order with the number n has n items, so that it is known how many calls each request makes.

mod app;
mod database;
mod failure;
mod healthy;
mod mistakes;
pub mod prices;

use axum::Router;
use axum::routing::{get, post};

pub use app::App;

/// All routes. Those that need the database are there if there is one.
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
            .route("/report", get(mistakes::pool_of_one))
            .route("/search", get(mistakes::search))
            .route("/broken", get(mistakes::broken));
    }
    routes.with_state(app)
}
