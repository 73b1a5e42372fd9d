//! The handler's own measure of its time.

use std::time::Instant;

use axum::response::{AppendHeaders, IntoResponse};

/// Runs from a handler's first line until its answer is ready.
///
/// In the handler itself and not in a layer around it, so that routing, extractors and the reading
/// of the body stay outside what is measured.
pub(crate) struct HandlerClock(Instant);

impl HandlerClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The answer with the time so far in its header.
    pub(crate) fn stop(self, answer: impl IntoResponse) -> impl IntoResponse {
        let micros = self.0.elapsed().as_micros();
        // Of one width, so that answers of a kind are of one length.
        (AppendHeaders([("x-handler-us", format!("{micros:09}"))]), answer)
    }
}
