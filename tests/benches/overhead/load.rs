//! The load, and the server without tracing.
//!
//! Over HTTP/1 it is wrk on `basic`. Over HTTP/2 it is h2load on `latency_lab`, an axum server, with a number of requests
//! that is known beforehand. With a database it is wrk on a route of `orders`, whose handler makes one query by sqlx.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use beyla_tests::called::postgres::Postgres;
use beyla_tests::run::{BASIC, LATENCY_LAB, ORDERS, Server};

/// What the load generator says of its run.
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
}

/// Which server, what is asked of it, and by which load generator.
pub(crate) enum Scenario {
    Http1,
    Http2,
    Query(Postgres),
}

/// The requests that h2load sends for each second of `--seconds`.
const REQUESTS_A_SECOND: u64 = 20_000;

impl Scenario {
    pub(crate) fn server(&self) -> Server {
        match self {
            Self::Http1 => BASIC,
            Self::Http2 => LATENCY_LAB,
            Self::Query(_) => ORDERS,
        }
    }

    /// What the server is to find in its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Http1 | Self::Http2 => Vec::new(),
            // No request asks for prices, so no service for them need be there.
            Self::Query(postgres) => {
                vec![("DATABASE_URL", postgres.url()), ("PRICES_URL", "http://127.0.0.1:1".to_owned())]
            }
        }
    }

    /// Saturates the server at `port`.
    pub(crate) fn saturate(&self, port: u16, time: Duration) -> Load {
        match self {
            Self::Http1 => wrk(port, "/hello", time),
            Self::Http2 => h2load(port, time.as_secs() * REQUESTS_A_SECOND),
            Self::Query(_) => wrk(port, "/orders/1/total", time),
        }
    }
}

fn h2load(port: u16, requests: u64) -> Load {
    let output = Command::new("h2load")
        .args(["-c4", "-m32", &format!("-n{requests}"), &format!("http://127.0.0.1:{port}/fast")])
        .output()
        .expect("h2load is installed: apt-get install nghttp2-client");
    let text = String::from_utf8_lossy(&output.stdout);
    let all_well = format!("status codes: {requests} 2xx");
    assert!(output.status.success() && text.contains(&all_well), "{text}");
    let finished = text.lines().find_map(|line| line.strip_prefix("finished in "));
    let per_second = finished.and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let Some(per_second) = per_second else { panic!("h2load says:\n{text}") };
    Load { requests, per_second }
}

fn wrk(port: u16, path: &str, time: Duration) -> Load {
    let output = Command::new("wrk")
        .args(["-t1", "-c64", &format!("-d{}s", time.as_secs()), &format!("http://127.0.0.1:{port}{path}")])
        .output()
        .expect("wrk is installed: apt-get install wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("Socket errors"), "{text}");
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    let per_second = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let (Some(requests), Some(per_second)) = (requests, per_second) else { panic!("wrk says:\n{text}") };
    Load { requests, per_second }
}

/// Microseconds a request.
pub(crate) fn micros_of_each(time: Duration, requests: u64) -> f64 {
    time.as_secs_f64() * 1e6 / requests as f64
}

/// The same server, started directly.
pub(crate) fn untraced(scenario: &Scenario, server: &Path, time: Duration) -> Load {
    let mut command = Command::new(server);
    command.env("PORT", "0").envs(scenario.environment());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
    let port = port(&mut child);
    let load = port.map(|port| scenario.saturate(port, time));
    child.kill().expect("a child");
    child.wait().expect("a child");
    load.expect("the server says where it listens")
}

fn port(server: &mut Child) -> Option<u16> {
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut()?).read_line(&mut line).ok()?;
    line.trim().rsplit_once(':')?.1.parse().ok()
}
