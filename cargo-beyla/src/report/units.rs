//! Numbers as people read them: three significant digits and the unit that suits them.

/// A length of time: `892 µs`, `1.24 ms`, `12.0 s`.
pub fn time(ns: u64) -> String {
    // Each unit takes over where three digits of the one before would round to 1,000.
    let (unit, size) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => ("µs", 1e3),
        999_500..999_500_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let value = ns as f64 / size;
    if value < 999.5 {
        format!("{} {unit}", significant(value))
    } else {
        format!("{} {unit}", count(value.round() as u64))
    }
}

/// How long a run took: as [`time`] below a minute, `2 min 5 s` and `3 h 12 min` above it.
pub fn duration(ns: u64) -> String {
    let seconds = ns.saturating_add(500_000_000) / 1_000_000_000;
    match seconds {
        0..60 => time(ns),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", count(seconds / 3600), seconds % 3600 / 60),
    }
}

/// A moment, as its distance from the start of the run: `+1.204 s`.
pub fn offset(ns: u64) -> String {
    format!("+{:.3} s", ns as f64 / 1e9)
}

/// A number of bytes: `28 B`, `1.2 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    // 1023.6 KiB would print as 1024 KiB.
    while value >= 1023.5 {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A count: `1,234,567`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count of things: `1 error`, `2,000 errors`; the plural by adding an `s`.
pub fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number))
}

/// A rate: `0.25/s`, `86.6/s`, `30,120/s`.
pub fn rate(number: u64, duration_ns: u64) -> String {
    if duration_ns == 0 {
        return "-".into();
    }
    let rate = number as f64 * 1e9 / duration_ns as f64;
    if rate >= 999.5 { format!("{}/s", count(rate.round() as u64)) } else { format!("{}/s", significant(rate)) }
}

/// A share of a whole: `12%`; `<1%` for what is there and would round to nothing.
pub fn share(part: f64, whole: f64) -> String {
    let percent = 100.0 * part / whole;
    if percent > 0.0 && percent < 0.5 { "<1%".into() } else { format!("{percent:.0}%") }
}

/// Three significant digits of a value below 999.5.
fn significant(value: f64) -> String {
    let decimals = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_significant_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_995, "10.0 µs"),
            (99_950, "100 µs"),
            (892_000, "892 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (1_240_000, "1.24 ms"),
            (999_500_000, "1.00 s"),
            (12_000_000_000, "12.0 s"),
            (1_234_000_000_000, "1,234 s"),
            (u64::MAX, "18,446,744,074 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn durations_of_runs() {
        assert_eq!(duration(59_400_000_000), "59.4 s");
        assert_eq!(duration(59_600_000_000), "1 min 0 s");
        assert_eq!(duration(125_000_000_000), "2 min 5 s");
        assert_eq!(duration(11_520_000_000_000), "3 h 12 min");
    }

    #[test]
    fn sizes() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_258_291, "1.2 MiB"),
            (102_400, "100 KiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn counts_rates_and_shares() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "error"), "1 error");
        assert_eq!(counted(0, "error"), "0 errors");
        assert_eq!(rate(200, 2_310_000_000), "86.6/s");
        assert_eq!(rate(301_204, 10_000_000_000), "30,120/s");
        assert_eq!(rate(1, 0), "-");
        assert_eq!(share(1.0, 8.0), "12%");
        assert_eq!(share(1.0, 1000.0), "<1%");
        assert_eq!(share(0.0, 8.0), "0%");
    }

    #[test]
    fn an_offset_counts_milliseconds() {
        assert_eq!(offset(1_204_400_000), "+1.204 s");
    }
}
