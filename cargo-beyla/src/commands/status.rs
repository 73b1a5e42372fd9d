//! What is said on stderr beside the report, in cargo's manner.

use anstyle::{AnsiColor, Style};

const VERB: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Prints lines such as `   Listening on ...`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    /// Whether they are coloured.
    pub(super) color: bool,
}

impl Status {
    /// A verb, right-aligned as cargo's are, and what it is about.
    pub(super) fn say(self, verb: &str, text: impl std::fmt::Display) {
        eprintln!("{} {text}", self.paint(VERB, &format!("{verb:>12}")));
    }

    /// Something that the user should know and that does not end the run.
    pub(super) fn warn(self, text: impl std::fmt::Display) {
        eprintln!("{}: {text}", self.paint(WARNING, "warning"));
    }

    /// A failure, and what cures it.
    pub(super) fn fail(self, error: &crate::error::Error) {
        eprintln!("{}: {error}", self.paint(ERROR, "error"));
        if let Some(hint) = error.hint() {
            eprintln!("{}: {hint}", self.paint(HINT, "hint"));
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
