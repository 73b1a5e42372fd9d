//! The checks as lines, and what follows from them.

use anstyle::{AnsiColor, Style};

use crate::probe::requirements::check::{Check, Standing};

fn label(standing: Standing) -> (&'static str, AnsiColor) {
    match standing {
        Standing::Ok => ("ok", AnsiColor::Green),
        Standing::Warn => ("warn", AnsiColor::Yellow),
        Standing::Missing => ("missing", AnsiColor::Red),
    }
}

/// The text that the doctor prints.
pub(super) fn render(checks: &[Check], color: bool) -> String {
    let name_width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Check { name, standing, found, cure } in checks {
        let (label, foreground) = label(*standing);
        let style = if color { Style::new().fg_color(Some(foreground.into())) } else { Style::new() };
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
