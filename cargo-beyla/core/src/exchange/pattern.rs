//! Patterns of paths, in our notation and in Beyla's.

use matchit::{InsertError, Router};

/// A pattern that does not parse, or stands for the same paths as another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern '{pattern}' is not valid: {reason}")]
pub struct PatternError {
    /// As it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Patterns such as `/users/{id}`, `/users/:id`, `/files/{*rest}` and `/files/*`.
///
/// A `*` that is a segment stands for any one segment; at the end it stands for all that follows, and for
/// nothing, as it does for Beyla.
#[derive(Clone, Debug, Default)]
pub struct PathPatterns {
    router: Router<String>,
    /// Those that end in `/*`, the longest first; the router knows no such thing beside a parameter.
    prefixes: Vec<Prefix>,
}

/// `/user/*`: a prefix, and the pattern itself.
#[derive(Clone, Debug)]
struct Prefix {
    /// In the notation of the router.
    route: String,
    label: String,
}

impl PathPatterns {
    /// Patterns; none may be there twice.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let mut router = Router::new();
        let mut prefixes: Vec<Prefix> = Vec::new();
        let mut inserted: Vec<(String, &String)> = Vec::new();
        for pattern in patterns {
            let invalid = |reason: String| PatternError { pattern: pattern.clone(), reason };
            let twice = |other: &str| invalid(format!("it stands for the same paths as '{other}'"));
            if !pattern.starts_with('/') {
                return Err(invalid("it does not begin with '/'".into()));
            }
            let label = in_braces(pattern);
            let route = in_router_notation(&label);
            if let Some(route) = route.strip_suffix("/*") {
                // The router alone says whether it is valid.
                Router::new().insert(format!("{route}/"), ()).map_err(|error| invalid(error.to_string()))?;
                if let Some(other) = prefixes.iter().find(|other| other.route == route) {
                    return Err(twice(&other.label));
                }
                prefixes.push(Prefix { route: route.to_owned(), label });
                continue;
            }
            router.insert(route.clone(), label).map_err(|error| match &error {
                InsertError::Conflict { with } => {
                    let other = inserted.iter().find(|(route, _)| route == with).map(|(_, pattern)| pattern.as_str());
                    twice(other.unwrap_or(with))
                }
                error => invalid(error.to_string()),
            })?;
            inserted.push((route, pattern));
        }
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.route.split('/').count()));
        Ok(Self { router, prefixes })
    }

    /// The pattern that a path matches, in our notation.
    pub fn matched(&self, path: &str) -> Option<&str> {
        let routed = self.router.at(path).ok().map(|matched| matched.value.as_str());
        routed.or_else(|| self.prefixes.iter().find(|prefix| prefix.covers(path)).map(|prefix| prefix.label.as_str()))
    }
}

impl Prefix {
    fn covers(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        self.route.split('/').all(|wanted| {
            let parameter = wanted.starts_with('{');
            segments.next().is_some_and(|segment| wanted == segment || parameter && !segment.is_empty())
        })
    }
}

/// `/users/:id` -> `/users/{id}`.
fn in_braces(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment.strip_prefix(':') {
        Some(name) => format!("{{{name}}}"),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Names the parameters by their places: `/users/{id}` and `/users/{name}/orders` go together for a user,
/// and not for the router.
fn in_router_notation(label: &str) -> String {
    let last = label.split('/').count() - 1;
    let segments = label.split('/').enumerate().map(|(at, segment)| {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if !name.is_empty() && !name.contains(['{', '}', '*']) => format!("{{{at}}}"),
            None if segment == "*" && at != last => format!("{{{at}}}"),
            Some(_) | None => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(patterns: &[&str]) -> Result<PathPatterns, PatternError> {
        PathPatterns::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn beyla_s_wildcard_is_a_prefix() {
        let patterns = patterns(&["/user/*", "/a/*/b", "/files/{*rest}"]).unwrap();
        for (path, matched) in [
            ("/user", Some("/user/*")),
            ("/user/", Some("/user/*")),
            ("/user/123/basket/1", Some("/user/*")),
            ("/users", None),
            ("/a/1/b", Some("/a/*/b")),
            ("/a/1/2/b", None),
            ("/files", None),
            ("/files/a/b", Some("/files/{*rest}")),
        ] {
            assert_eq!(patterns.matched(path), matched, "{path}");
        }
    }

    #[test]
    fn what_is_more_specific_comes_first() {
        let patterns = patterns(&["/user/*", "/user", "/user/:name/basket", "/user/{id}"]).unwrap();
        for (path, matched) in [
            ("/user/", "/user/*"),
            ("/user", "/user"),
            ("/user/7", "/user/{id}"),
            ("/user/7/basket", "/user/{name}/basket"),
            ("/user/7/orders", "/user/*"),
        ] {
            assert_eq!(patterns.matched(path), Some(matched), "{path}");
        }
    }

    #[test]
    fn a_wildcard_alone_is_everything() {
        let patterns = patterns(&["/*"]).unwrap();
        assert_eq!((patterns.matched("/"), patterns.matched("/a/b")), (Some("/*"), Some("/*")));
    }
}
