//! Why a receiver has not taken a message, and whether it may take it another time.

use std::error::Error;
use std::time::Duration;

use super::mistake::mistake;
use crate::export::settings::{Proxy, Setting};
use crate::report::text::escape;

/// The longest reason that is shown, in characters.
const REASON_MAX: usize = 200;

/// A message that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people: a fragment that fits "512 were not: {}".
    pub(super) reason: String,
    /// What can be done.
    pub(super) remedy: Remedy,
}

/// What can be done about a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: the receiver does not want it.
    None,
    /// To try again, after the time that the receiver has asked for, if it has.
    Retry(Option<Duration>),
    /// To try again; there was no connection to it at all.
    Reconnect,
}

impl Failure {
    pub(super) fn new(reason: impl AsRef<str>, remedy: Remedy) -> Self {
        Self { reason: line(reason.as_ref()), remedy }
    }

    /// The same, of a message that went through a proxy.
    pub(super) fn through(self, proxy: &Setting<Proxy>) -> Self {
        let Setting { value: Proxy { uri, credentials: _ }, source } = proxy;
        let proxy = uri.authority().map_or("", |authority| authority.as_str());
        let reason = format!("{} (through the proxy {proxy} of the {source}; NO_PROXY lists exceptions)", self.reason);
        Self { reason, ..self }
    }
}

/// The innermost reason of an error, without what only programmers want to know.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    if let Some(mistake) = mistake(&text) {
        return mistake.to_owned();
    }
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    match characters.next() {
        // Not of an acronym.
        Some(first) if characters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Text that others have written, fit for a line of ours: nothing in it steers the terminal, and it is short.
pub(super) fn line(text: &str) -> String {
    // One more than there is room for shows that it is too long.
    let start: String = text.trim().chars().take(REASON_MAX + 1).collect();
    let start = start.replace(['\n', '\r', '\t'], " ");
    let escaped = escape(&start);
    let mut short: String = escaped.chars().take(REASON_MAX).collect();
    if escaped.chars().nth(REASON_MAX).is_some() {
        short.truncate(short.trim_end().len());
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_lines() {
        let refused = std::io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        assert_eq!(innermost(&refused), "connection refused");
        assert_eq!(innermost(&std::io::Error::other("TLS it is not")), "TLS it is not");
        let long = Failure::new(format!("a\u{1b}b\n{}", "x".repeat(500)), Remedy::None).reason;
        assert!(long.starts_with("a\\u{1b}b x") && long.ends_with("x…") && long.chars().count() == REASON_MAX + 1);
        assert_eq!(Failure::new("a \n", Remedy::None).reason, "a");
        assert_eq!(line("\u{202e}\u{9b}31m"), "\\u{202e}\\u{9b}31m");
        assert_eq!(line(&"\u{1b}".repeat(500)).chars().count(), REASON_MAX + 1);
    }
}
