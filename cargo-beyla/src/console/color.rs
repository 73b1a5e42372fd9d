//! Whether escape codes are written: colours, and those that move the cursor.
//!
//! The conventions are those of <https://bixense.com/clicolors/> and <https://no-color.org>, and cargo's own.

use std::ffi::{OsStr, OsString};

use clap::ColorChoice;

use super::stream::Stream;

/// Whether what goes to `stream` has colours: as `--color` and `CARGO_TERM_COLOR` say (clap has joined them), else
/// none with `NO_COLOR`, some with `CLICOLOR_FORCE`, none with `CLICOLOR=0`, and else where the stream is a terminal
/// that knows them.
pub fn color(choice: Option<ColorChoice>, stream: Stream) -> bool {
    decide(choice, || stream.is_terminal(), |name| std::env::var_os(name))
}

/// Whether the cursor may be moved on `stream`, as progress bars and the status line do.
pub fn moves_cursor(stream: Stream) -> bool {
    stream.is_terminal() && knows_escape_codes(|name| std::env::var_os(name))
}

/// What `--color` says on a command line that could not be parsed as a whole, or `CARGO_TERM_COLOR`.
pub fn typed(arguments: &[OsString]) -> Option<ColorChoice> {
    let mut choice = std::env::var_os("CARGO_TERM_COLOR");
    let mut words = arguments.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "--color" {
            choice = words.next().cloned().or(choice);
        } else if let Some(value) = word.to_str().and_then(|word| word.strip_prefix("--color=")) {
            choice = Some(value.into());
        }
    }
    choice?.to_str()?.parse().ok()
}

/// What `CARGO_TERM_COLOR` holds, if it is no choice and counts, as no `--color` was typed.
pub fn misspelt(arguments: &[OsString]) -> Option<OsString> {
    let is_typed =
        |word: &OsString| word.to_str().is_some_and(|word| word == "--color" || word.starts_with("--color="));
    if arguments.iter().take_while(|word| *word != "--").any(is_typed) {
        return None;
    }
    let held = std::env::var_os("CARGO_TERM_COLOR")?;
    let is_choice = held.to_str().is_some_and(|held| held.parse::<ColorChoice>().is_ok());
    (!is_choice).then_some(held)
}

fn decide(
    choice: Option<ColorChoice>,
    is_terminal: impl FnOnce() -> bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> bool {
    match choice {
        Some(ColorChoice::Always) => return true,
        Some(ColorChoice::Never) => return false,
        Some(ColorChoice::Auto) | None => {}
    }
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let is_zero = |name| variable(name).is_some_and(|value| value == "0");
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") {
        return true;
    }
    !is_zero("CLICOLOR") && is_terminal() && knows_escape_codes(variable)
}

/// Whether `TERM` names a terminal that is more than a printer.
fn knows_escape_codes(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("TERM").is_some_and(|term| !term.is_empty() && term != OsStr::new("dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conventions_in_their_order() {
        const TERM: (&str, &str) = ("TERM", "xterm");
        let (always, never, auto) = (Some(ColorChoice::Always), Some(ColorChoice::Never), Some(ColorChoice::Auto));
        for (choice, is_terminal, variables, expected) in [
            (None, true, &[TERM][..], true),
            (auto, true, &[TERM], true),
            (None, false, &[TERM], false),
            (None, true, &[("TERM", "dumb")], false),
            (None, true, &[("TERM", "")], false),
            (None, true, &[], false),
            (None, true, &[TERM, ("NO_COLOR", "1")], false),
            (None, true, &[TERM, ("NO_COLOR", "0")], false),
            (None, true, &[TERM, ("NO_COLOR", "")], true),
            (None, true, &[TERM, ("CLICOLOR", "0")], false),
            (None, true, &[TERM, ("CLICOLOR", "1")], true),
            (None, false, &[TERM, ("CLICOLOR", "1")], false),
            (None, false, &[("CLICOLOR_FORCE", "1")], true),
            (None, false, &[TERM, ("CLICOLOR_FORCE", "0")], false),
            (None, false, &[TERM, ("CLICOLOR_FORCE", "")], false),
            (auto, false, &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")], true),
            (None, true, &[TERM, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (always, false, &[("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")], true),
            (never, true, &[TERM, ("CLICOLOR_FORCE", "1")], false),
        ] {
            let variable = |name: &str| variables.iter().find(|(is, _)| *is == name).map(|(_, value)| value.into());
            assert_eq!(decide(choice, || is_terminal, variable), expected, "{choice:?} {is_terminal} {variables:?}");
        }
    }

    #[test]
    fn the_choice_is_found_where_the_rest_is_wrong() {
        let typed = |words: &[&str]| typed(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(typed(&["beyla", "--color", "never", "--nonsense"]), Some(ColorChoice::Never));
        assert_eq!(typed(&["beyla", "run", "--color=always"]), Some(ColorChoice::Always));
        assert_ne!(typed(&["beyla", "run", "--", "--color=always"]), Some(ColorChoice::Always));
    }
}
