//! Durations: how people write one, and how many are summarised.

use std::time::Duration;

/// A distribution of times in nanoseconds. Percentiles have three significant digits; the rest is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution {
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// The mean.
    pub mean: f64,
}

/// `500ms`, `1.5s`, `1m30s`, `2h`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: f64 = number.parse().ok()?;
        seconds += match unit {
            "ns" => number / 1e9,
            "us" | "µs" => number / 1e6,
            "ms" => number / 1e3,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3600.0,
            // A number without a unit must stand alone.
            "" if rest.len() == text.len() => number,
            _ => return None,
        };
        if after.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1.5", 1500),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1h1ms", 3_600_001),
            ("0", 0),
            ("1000us", 1),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "s", "1d", "-1s", "1e400h", "1..2s", "1m30", "30 s", "99999999999999999999h"] {
            assert!(parse_duration(wrong).is_none(), "{wrong}");
        }
    }
}
