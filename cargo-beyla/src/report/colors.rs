//! The colours of reports: few, and none that carries a meaning alone.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use super::segments::Segment;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextStyle {
    /// Nothing special.
    Plain,
    /// What the eye should find first.
    Strong,
    /// Headers, legends, what is only there for completeness.
    Faint,
    /// Failed by the server.
    Error,
    /// Refused by the server, or not whole.
    Warning,
    /// What kind of thing `--explain` found.
    Finding,
    /// A phase, or a part of one.
    Segment(Segment),
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) color: bool,
}

impl Paint {
    /// The text in its colour.
    pub(super) fn paint(self, role: TextStyle, text: impl Display) -> String {
        let style = role.style();
        if !self.color || style == Style::new() {
            return text.to_string();
        }
        format!("{style}{text}{style:#}")
    }
}

impl TextStyle {
    fn style(self) -> Style {
        let of = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Error => of(AnsiColor::Red),
            Self::Finding => of(AnsiColor::Yellow).bold(),
            Self::Warning => of(AnsiColor::Yellow),
            Self::Segment(segment) => match segment {
                Segment::Queue => of(AnsiColor::Yellow),
                Segment::Receive => of(AnsiColor::Blue),
                Segment::Handle | Segment::Running => of(AnsiColor::Green),
                Segment::Runnable => of(AnsiColor::Cyan),
                Segment::Blocked => of(AnsiColor::Red),
                Segment::Scheduled => of(AnsiColor::BrightYellow),
                Segment::Waiting => Style::new().dimmed(),
                Segment::Respond => of(AnsiColor::Magenta),
            },
        }
    }
}
