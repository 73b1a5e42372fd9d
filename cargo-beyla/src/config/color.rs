//! Whether what we say has colours.

use std::io::IsTerminal;

use clap::ColorChoice;

/// Whether what goes to `stream` has colours: `--color` and `CARGO_TERM_COLOR` first (clap has joined
/// them), then `NO_COLOR`, then whether it is a terminal.
pub fn color(choice: Option<ColorChoice>, stream: &impl IsTerminal) -> bool {
    match choice {
        Some(ColorChoice::Always) => true,
        Some(ColorChoice::Never) => false,
        Some(ColorChoice::Auto) | None => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && stream.is_terminal()
        }
    }
}
