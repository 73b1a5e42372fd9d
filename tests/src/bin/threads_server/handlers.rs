//! The handlers: each takes its time in another way.

use std::time::{Duration, Instant};

pub(crate) fn handle(path: &str, time: Duration) -> Option<&'static str> {
    match path {
        "/fast" => Some("fast\n"),
        // A thread has no other way to wait.
        "/sleep" | "/block" => Some(block(time)),
        "/spin" => Some(spin(time)),
        _ => None,
    }
}

fn block(time: Duration) -> &'static str {
    std::thread::sleep(time);
    "blocked\n"
}

fn spin(time: Duration) -> &'static str {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    "spun\n"
}
