//! What must not be read over a shoulder or in a log.

use std::fmt;

/// What is shown in the place of a secret.
const MASK: &str = "********";

/// A text that is sent where it belongs and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// A URL as it may be shown: without user and password, and with the values of its query masked, where some put a
/// token. It need not be a valid one.
pub fn masked_url(url: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (url, None),
    };
    let (scheme, rest) = before.split_once("://").map_or(("", before), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let divider = if scheme.is_empty() { "" } else { "://" };
    let mut shown = format!("{scheme}{divider}{host}{path}");
    for (at, pair) in query.into_iter().flat_map(|query| query.split('&').enumerate()) {
        shown.push(if at == 0 { '?' } else { '&' });
        // What has no name may be the secret itself.
        if let Some((name, _)) = pair.split_once('=') {
            shown.extend([name, "="]);
        }
        shown.push_str(MASK);
    }
    shown
}

/// What a command with credentials in it has: the names of headers, variables and flags that carry them, and URLs with
/// a user.
const SIGNS: [&str; 14] = [
    "auth",
    "token",
    "secret",
    "passw",
    "pwd",
    "credential",
    "cookie",
    "session",
    "key",
    "bearer",
    "basic",
    "--user",
    " -u",
    "@",
];

/// A command as it may be shown: masked as a whole if it looks as if there were credentials in it. What in it is one, and
/// where it ends, nobody but the shell can say.
pub fn masked_command(command: &str) -> &str {
    let lower = command.to_ascii_lowercase();
    if SIGNS.iter().any(|sign| lower.contains(sign)) { MASK } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_secrets() {
        for (url, shown) in [
            ("http://h:4318/v1/traces", "http://h:4318/v1/traces"),
            ("http://h/a?token=sekrit&x=1", "http://h/a?token=********&x=********"),
            ("http://h?sekrit", "http://h?********"),
            ("https://me:p@ss@h/@a", "https://h/@a"),
            ("me:pass@h", "h"),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }

    #[test]
    fn commands_are_shown_without_their_credentials() {
        for plain in ["wrk -d10s $BEYLA_URL/", "for i in $(seq 9); do curl -s \"$BEYLA_URL/a?b=c\"; done"] {
            assert_eq!(masked_command(plain), plain);
        }
        for secret in [
            "curl -H 'Authorization: Bearer abc' $BEYLA_URL",
            "curl -H \"X-Api-Key: abc\" $BEYLA_URL",
            "curl -b session=abc $BEYLA_URL",
            "curl -u me:abc $BEYLA_URL",
            "curl --user 'me:a bc' $BEYLA_URL",
            "curl http://me:abc@localhost/",
            "PASSWORD='a bc' ./load",
            "load --token=abc",
            "curl \"$BEYLA_URL/?access_token=abc\"",
        ] {
            assert_eq!(masked_command(secret), MASK, "{secret}");
        }
    }

    #[test]
    fn it_is_shown_nowhere() {
        let secret = Secret::new("glc_abc");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)), "******** ******** Some(\n    ********,\n)");
        assert_eq!(secret.reveal(), "glc_abc");
    }
}
