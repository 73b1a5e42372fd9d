//! What goes wrong, as the client sees it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Why a request has failed.
pub(crate) struct Failure {
    status: StatusCode,
    reason: String,
}

impl Failure {
    /// There is nothing of this name.
    pub(crate) fn not_found(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, reason: format!("there is no such {what}") }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, self.reason).into_response()
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, reason: format!("the database: {error}") }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, reason: format!("the database: {error}") }
    }
}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, reason: format!("the cache: {error}") }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, reason: format!("the service: {error}") }
    }
}
