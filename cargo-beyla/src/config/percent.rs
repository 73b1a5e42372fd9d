//! A part of something, in percent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From 0 to 100 percent, to a hundredth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percent {
    hundredths: u32,
}

impl Percent {
    /// Whole percents.
    pub const fn new(percent: u32) -> Self {
        Self { hundredths: percent * 100 }
    }

    /// As a part of 1.
    pub fn share(self) -> f64 {
        f64::from(self.hundredths) / 10_000.0
    }
}

impl FromStr for Percent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let percent: f64 = text.parse().map_err(|_| ())?;
        if (0.0..=100.0).contains(&percent) {
            Ok(Self { hundredths: (percent * 100.0).round() as u32 })
        } else {
            Err(())
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", f64::from(self.hundredths) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_0_to_100() {
        for (text, shown, share) in [
            ("3", "3", 0.03),
            ("0.5%", "0.5", 0.005),
            ("100 %", "100", 1.0),
            ("0", "0", 0.0),
            ("2.345", "2.35", 0.0235),
        ] {
            let percent: Percent = text.parse().expect("a percentage");
            assert_eq!((percent.to_string().as_str(), percent.share()), (shown, share));
        }
        for wrong in ["", "%", "-1", "100.1", "nan", "inf", "x", "3%%"] {
            assert_eq!(wrong.parse::<Percent>(), Err(()), "{wrong}");
        }
    }
}
