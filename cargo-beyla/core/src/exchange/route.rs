//! Paths -> routes.

use std::borrow::Cow;

use crate::exchange::pattern::{PathPatterns, PatternError};

/// The longest route, in bytes; what is longer is cut.
const ROUTE_MAX: usize = 256;

/// Puts paths into routes: by the user's patterns first, else with what looks like an id folded.
#[derive(Clone, Debug)]
pub struct RouteTable {
    patterns: PathPatterns,
}

impl RouteTable {
    /// Patterns as [`PathPatterns`] takes them.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        Ok(Self { patterns: PathPatterns::new(patterns)? })
    }

    /// The route of a path.
    pub fn route<'a>(&'a self, path: &'a str) -> Cow<'a, str> {
        match self.patterns.matched(path) {
            Some(route) => Cow::Borrowed(route),
            None => cut(fold(path)),
        }
    }
}

/// `/users/42` -> `/users/{id}`.
fn fold(path: &str) -> Cow<'_, str> {
    if !path.starts_with('/') || !path.split('/').any(is_id) {
        return Cow::Borrowed(path);
    }
    let mut folded = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        folded.push('/');
        folded.push_str(if is_id(segment) { "{id}" } else { segment });
    }
    Cow::Owned(folded)
}

/// Digits, a UUID, or a long hexadecimal number.
fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digit = bytes.iter().any(u8::is_ascii_digit);
    digit && (bytes.iter().all(u8::is_ascii_digit) || is_uuid(bytes) || is_long_hex(bytes))
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_long_hex(bytes: &[u8]) -> bool {
    bytes.len() >= 16 && bytes.iter().all(u8::is_ascii_hexdigit)
}

fn cut(route: Cow<'_, str>) -> Cow<'_, str> {
    if route.len() <= ROUTE_MAX {
        return route;
    }
    let end = route.floor_char_boundary(ROUTE_MAX);
    Cow::Owned(format!("{}…", &route[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obvious_ids_are_folded_and_nothing_else() {
        let table = RouteTable::new(&[]).expect("no patterns");
        for (path, route) in [
            ("/", "/"),
            ("/users/42", "/users/{id}"),
            ("/users/42/", "/users/{id}/"),
            ("/1/2", "/{id}/{id}"),
            ("//7", "//{id}"),
            ("/v1/users", "/v1/users"),
            ("/o/6F9619FF-8B86-D011-B42D-00CF4FC964FF", "/o/{id}"),
            ("/o/6F9619FF-8B86-D011-B42D-00CF4FC964FG", "/o/6F9619FF-8B86-D011-B42D-00CF4FC964FG"),
            ("/blob/0123456789abcdef", "/blob/{id}"),
            ("/blob/0123456789abcde", "/blob/0123456789abcde"),
            ("/word/deadbeefdeadbeef", "/word/deadbeefdeadbeef"),
            ("*", "*"),
            ("host:443", "host:443"),
        ] {
            assert_eq!(table.route(path), route);
            let borrowed = matches!(table.route(path), Cow::Borrowed(_));
            assert_eq!(borrowed, path == route, "{path}");
        }
    }

    #[test]
    fn patterns_come_first() {
        let patterns = ["/users/{id}", "/orders/:order/items/:item", "/static/{*rest}"].map(String::from);
        let table = RouteTable::new(&patterns).expect("valid patterns");
        for (path, route) in [
            ("/users/alice", "/users/{id}"),
            ("/users/alice/7", "/users/alice/{id}"),
            ("/orders/a/items/b", "/orders/{order}/items/{item}"),
            ("/static/css/a.css", "/static/{*rest}"),
        ] {
            assert_eq!(table.route(path), route);
        }
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for patterns in [&["users"][..], &["GET /users"], &["/{a"], &["/{a}", "/{b}"], &["/:"]] {
            let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
            assert!(RouteTable::new(&patterns).is_err(), "{patterns:?}");
        }
    }

    #[test]
    fn long_paths_are_cut_between_characters() {
        let table = RouteTable::new(&[]).expect("no patterns");
        let path = format!("/{}", "é".repeat(500));
        let route = table.route(&path);
        assert!(route.len() <= ROUTE_MAX + '…'.len_utf8() && route.ends_with('…'));
    }
}
