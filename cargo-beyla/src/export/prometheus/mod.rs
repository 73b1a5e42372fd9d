//! Metrics to be scraped.
//!
//! The endpoint is there as long as the run is: with its last request answered, the run ends, and with it
//! the endpoint. A scraper sees what came after its last visit only if it comes often enough; for the
//! last values of a short run, OTLP is the way, or the JSON report.

mod labels;
pub(super) mod server;
mod text;
