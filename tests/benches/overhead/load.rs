//! The load, and the server without tracing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What wrk says of its run.
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
}

/// Saturates the server at `port`.
pub(crate) fn saturate(port: u16, time: Duration) -> Load {
    let output = Command::new("wrk")
        .args(["-t1", "-c64", &format!("-d{}s", time.as_secs()), &format!("http://127.0.0.1:{port}/hello")])
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
pub(crate) fn untraced(server: &Path, time: Duration) -> Load {
    let mut child = Command::new(server).env("PORT", "0").stdout(Stdio::piped()).spawn().expect("the server starts");
    let port = port(&mut child);
    let load = port.map(|port| saturate(port, time));
    child.kill().expect("a child");
    child.wait().expect("a child");
    load.expect("the server says where it listens")
}

fn port(server: &mut Child) -> Option<u16> {
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut()?).read_line(&mut line).ok()?;
    line.trim().rsplit_once(':')?.1.parse().ok()
}
