//! One line of what the doctor says, and all of them.

use anstyle::{AnsiColor, Style};

/// How something stands, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// As it should be.
    Ok,
    /// In the way of something, or worth knowing.
    Warn,
    /// Without it there is no tracing.
    Missing,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) standing: Standing,
    /// What was found.
    pub(super) found: String,
    /// The line that mends it.
    pub(super) cure: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, standing: Standing::Ok, found: found.into(), cure: None }
    }

    pub(super) fn warn(name: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name, standing: Standing::Warn, found: found.into(), cure: Some(cure.into()) }
    }

    pub(super) fn missing(name: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name, standing: Standing::Missing, found: found.into(), cure: Some(cure.into()) }
    }

    pub(super) fn is_missing(&self) -> bool {
        self.standing == Standing::Missing
    }
}

impl Standing {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "missing",
        }
    }

    fn style(self) -> Style {
        let color = match self {
            Self::Ok => AnsiColor::Green,
            Self::Warn => AnsiColor::Yellow,
            Self::Missing => AnsiColor::Red,
        };
        Style::new().fg_color(Some(color.into()))
    }
}

/// The checks as lines, and what follows from them.
pub(super) fn render(checks: &[Check], color: bool) -> String {
    let name_width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Check { name, standing, found, cure } in checks {
        let style = if color { standing.style() } else { Style::new() };
        let label = standing.label();
        let line = format!("{style}{label:<7}{style:#}  {name:<name_width$}  {found}\n");
        out.push_str(&line);
        if let Some(cure) = cure {
            out.extend(std::iter::repeat_n(' ', 7 + 2 + name_width + 2));
            out.push_str("cure: ");
            out.push_str(cure);
            out.push('\n');
        }
    }
    let worst = checks.iter().map(|check| check.standing).max();
    out.push_str(match worst {
        None | Some(Standing::Ok) => "\nThis machine can trace: `cargo beyla run` will work.\n",
        Some(Standing::Warn) => "\nThis machine can trace, but for the warnings above.\n",
        Some(Standing::Missing) => "\nThis machine cannot trace until what is missing is there.\n",
    });
    out
}
