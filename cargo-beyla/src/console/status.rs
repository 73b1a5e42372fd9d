//! Lines on stderr beside the report, in cargo's style.

use anstyle::{AnsiColor, Style};

use crate::config::values::LogLevel;
use crate::console::stream::Stream;

const VERB: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Writes to stderr. If nobody reads it any more, that is no failure.
pub fn write(text: impl AsRef<[u8]>) {
    Stream::Stderr.say(text);
}

/// Prints lines such as `   Listening on ...`.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Whether they are coloured.
    pub color: bool,
    /// How much is printed; a failure always is.
    pub level: LogLevel,
}

impl Status {
    /// A line with a verb, right-aligned as cargo's are.
    pub fn say(self, verb: &str, text: impl std::fmt::Display) {
        if self.level > LogLevel::Info {
            return;
        }
        write(format!("{} {text}\n", self.paint(VERB, &format!("{verb:>12}"))));
    }

    /// As [`Self::say`], of something that went wrong: this is always printed.
    pub fn say_failed(self, verb: &str, text: impl std::fmt::Display) {
        write(format!("{} {text}\n", self.paint(ERROR, &format!("{verb:>12}"))));
    }

    /// A warning: the run goes on.
    pub fn warn(self, text: impl std::fmt::Display) {
        if self.level > LogLevel::Warn {
            return;
        }
        write(format!("{}: {text}\n", self.paint(WARNING, "warning")));
    }

    /// An error, and the hint that cures it.
    pub fn fail(self, error: &crate::error::Error) {
        write(format!("{}: {error}\n", self.paint(ERROR, "error")));
        if let Some(hint) = error.hint() {
            self.hint(hint);
        }
    }

    /// What cures a failure that was printed before.
    pub fn hint(self, text: impl std::fmt::Display) {
        write(format!("{}: {text}\n", self.paint(HINT, "hint")));
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
