//! Lines on stderr beside the report, in cargo's style.

use anstyle::{AnsiColor, Style};

use crate::console::stream::Stream;
use crate::console::wrap::wrap;

const VERB: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Writes to stderr. If nobody reads it any more, that is no failure.
pub fn write(text: impl AsRef<[u8]>) {
    Stream::Stderr.say(text);
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What a user may want to know.
    #[default]
    Info,
    /// What is amiss.
    Warn,
    /// What fails.
    Error,
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
        self.message(WARNING, "warning", text);
    }

    /// An error, and the hint that cures it.
    pub fn fail(self, error: &crate::error::Error) {
        self.message(ERROR, "error", error);
        if let Some(hint) = error.hint() {
            self.hint(hint);
        }
    }

    /// What cures a failure that was printed before.
    pub fn hint(self, text: impl std::fmt::Display) {
        self.message(HINT, "hint", text);
    }

    /// A sentence with its kind before it, in lines as wide as the terminal.
    fn message(self, style: Style, kind: &str, text: impl std::fmt::Display) {
        let width = terminal_size::terminal_size_of(Stream::Stderr).map(|(width, _)| usize::from(width.0));
        let whole = lines(&format!("{kind}: {text}"), width);
        let rest = whole.strip_prefix(kind).unwrap_or(&whole);
        write(format!("{}{rest}\n", self.paint(style, kind)));
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// The text broken between words where the terminal is too narrow for it. In a pipe, a line of it stays one line.
fn lines(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    text.split('\n').map(|line| wrap(line, width).join("\n")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_break_between_words_on_a_terminal_alone() {
        let text = "error: one two three\nfour  five";
        assert_eq!(lines(text, None), text);
        assert_eq!(lines(text, Some(14)), "error: one two\nthree\nfour  five");
        assert_eq!(lines(text, Some(1)).replace('\n', " "), text.replace('\n', " "));
    }
}
