//! Waiting for a condition, and never longer than makes sense.

use std::time::{Duration, Instant};

/// Long enough for anything on a busy machine.
pub const LONG: Duration = Duration::from_mins(1);

/// Asks again and again until there is an answer; `None` when the time is over.
pub fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
