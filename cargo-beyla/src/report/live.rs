//! One status line on stderr while the server runs.
//!
//! The server writes to the same terminal by itself: its output does not pass through us, so a
//! status line on the cursor's line, as progress bars have it, would be written into or written
//! over. Instead the terminal keeps its last row for us and scrolls the rows above it (DECSTBM, as
//! apt does it): whatever the server writes, half a line at a time or a thousand, stays whole and
//! goes to the scrollback as ever, and the status line stays where it is. Each drawing is one write
//! that begins by saving the cursor, with its colours, and ends by restoring it.
//!
//! What this costs: a server that takes the whole screen for itself draws over the status line; after
//! a change of the terminal's size the rest of a status line may stay behind what the server wrote
//! next; and if we are killed without a chance to clean up, the last row stays set aside until `reset`
//! or a change of size.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use terminal_size::{Height, Width};

use super::text;
use super::units::{counted, rate, time};
use crate::console::color::moves_cursor;
use crate::console::stream::Stream;

/// The time over which the rate is counted.
const WINDOW: Duration = Duration::from_secs(3);

/// The line is not drawn more often than this.
const REDRAW: Duration = Duration::from_millis(100);

/// With fewer rows than this, none is to spare.
const ROWS_MIN: u16 = 5;

/// Lets all rows scroll again; the cursor, which that moves, goes back.
const WHOLE_SCREEN: &str = "\x1b7\x1b[r\x1b8";

/// After a change of size. Where the old status line is now, only the terminal knows: below the
/// cursor if the server has written nothing since, and no place to clear otherwise.
const RESIZED: &str = "\x1b7\x1b[r\x1b8\x1b7\x1b[0m\x1b[J\x1b8";

/// What the status line shows, counted from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCounters {
    /// Requests.
    pub requests: u64,
    /// Of these, those that the server failed.
    pub errors: u64,
    /// The 99th percentile of the total request times of the last seconds, in nanoseconds.
    pub p99_ns: Option<u64>,
}

/// The status line. It goes when this is dropped.
#[derive(Debug)]
pub struct Live {
    started: Instant,
    /// Moments and the requests that there were, from the last [`WINDOW`] and one before it.
    samples: VecDeque<(Instant, u64)>,
    screen: Option<Screen>,
}

/// A terminal that can keep a row for us.
#[derive(Debug, Default)]
struct Screen {
    /// Rows and columns, once the last row is ours.
    size: Option<(u16, u16)>,
    drawn: Option<Instant>,
}

impl Live {
    /// A status line, if it is `enabled` and stderr is a terminal that can have one; else nothing
    /// that costs nothing. It shows at the first [`Self::update`].
    pub fn start(enabled: bool) -> Self {
        let started = Instant::now();
        let screen = (enabled && moves_cursor(Stream::Stderr)).then(Screen::default);
        Self { started, samples: VecDeque::from([(started, 0)]), screen }
    }

    /// Shows the counters, which are taken only when it is time to; to be called four times a second or
    /// more often.
    pub fn update(&mut self, counters: impl FnOnce() -> LiveCounters) {
        let Some(screen) = &mut self.screen else {
            return;
        };
        let now = Instant::now();
        if screen.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW) {
            return;
        }
        let counters = counters();
        self.samples.push_back((now, counters.requests));
        while self.samples.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= WINDOW) {
            self.samples.pop_front();
        }
        let (then, before) = self.samples.front().copied().unwrap_or((self.started, 0));
        let lately = rate(counters.requests.saturating_sub(before), nanoseconds(now - then));
        let line = status(now - self.started, counters, &lately);
        screen.draw(&line, now);
    }

    /// Takes the line away and gives the row back.
    pub fn finish(self) {
        drop(self);
    }

    /// Takes the line away until the next [`Self::update`]: until then the terminal is another's.
    pub fn suspend(&mut self) {
        if let Some(screen) = &mut self.screen
            && let Some((rows, _)) = screen.size.take()
        {
            emit(&release(rows));
        }
    }

    /// Everything was stopped for this time.
    pub fn resume(&mut self, paused: Duration) {
        self.started += paused;
        for (at, _) in &mut self.samples {
            *at += paused;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.suspend();
    }
}

impl Screen {
    fn draw(&mut self, line: &str, now: Instant) {
        self.drawn = Some(now);
        let size = terminal_size::terminal_size_of(Stream::Stderr)
            .map(|(Width(columns), Height(rows))| (rows, columns))
            .filter(|&(rows, _)| rows >= ROWS_MIN);
        let mut sequence = String::new();
        if size != self.size {
            if self.size.is_some() {
                sequence.push_str(RESIZED);
            }
            if let Some((rows, _)) = size {
                sequence.push_str(&reserve(rows));
            }
            self.size = size;
        }
        if let Some((rows, columns)) = size {
            // The last column stays free: some terminals scroll when it is written.
            let line = text::shorten(line, usize::from(columns).saturating_sub(1));
            sequence.push_str(&place(rows, &line));
        }
        emit(&sequence);
    }
}

/// Sets the last row aside. The cursor moves down and up first, so that it is not in it: the screen
/// scrolls if it was.
fn reserve(rows: u16) -> String {
    format!("\x1bD\x1b[A\x1b7\x1b[1;{}r\x1b8", rows - 1)
}

/// Writes the last row and leaves cursor and colours as they were.
fn place(rows: u16, line: &str) -> String {
    format!("\x1b7\x1b[{rows};1H\x1b[0m\x1b[2K{line}\x1b8")
}

/// Clears the last row and gives it back.
fn release(rows: u16) -> String {
    place(rows, "") + WHOLE_SCREEN
}

/// Stderr is not buffered: this is one write, which the terminal does not mix with others'.
fn emit(sequence: &str) {
    // A terminal that has gone away needs no status line.
    Stream::Stderr.say(sequence);
}

fn status(elapsed: Duration, counters: LiveCounters, rate: &str) -> String {
    let LiveCounters { requests, errors, p99_ns } = counters;
    let seconds = elapsed.as_secs();
    let mut line = format!("beyla  {}:{:02}  {}  {rate}", seconds / 60, seconds % 60, counted(requests, "request"));
    if errors > 0 {
        line.push_str("  ");
        line.push_str(&counted(errors, "error"));
    }
    if let Some(p99_ns) = p99_ns {
        line.push_str("  p99 ");
        line.push_str(&time(p99_ns));
    }
    line
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_known() {
        let nothing = LiveCounters::default();
        assert_eq!(status(Duration::from_millis(900), nothing, "-"), "beyla  0:00  0 requests  -");
        let busy = LiveCounters { requests: 12_345, errors: 1, p99_ns: Some(1_240_000) };
        assert_eq!(
            status(Duration::from_secs(125), busy, "86.6/s"),
            "beyla  2:05  12,345 requests  86.6/s  1 error  p99 1.24 ms"
        );
    }

    #[test]
    fn without_a_terminal_there_is_none() {
        let mut live = Live::start(false);
        live.update(LiveCounters::default);
        assert!(live.screen.is_none());
        live.finish();
    }
}
