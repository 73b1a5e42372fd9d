//! A budget, and the routes or tests in its scope.

use globset::{GlobBuilder, GlobMatcher};

use crate::analysis::budget::metric::{Metric, Operator};

/// What must hold of a run.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its name, if the settings give it one.
    pub name: Option<String>,
    /// The budget as it was written.
    pub text: String,
    /// What it limits.
    pub scope: Scope,
    /// The number that it limits.
    pub metric: Metric,
    /// How the number has to compare with the bound.
    pub operator: Operator,
    /// The bound; times are nanoseconds.
    pub bound: u64,
}

/// Budgets that are written alike are equal.
impl PartialEq for Budget {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl Eq for Budget {}

impl Budget {
    /// Whether it holds for this number.
    pub fn holds(&self, value: u64) -> bool {
        self.operator.holds(value, self.bound)
    }

    /// Its name and text for reports.
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.text.clone(), |name| format!("{name}: {}", self.text))
    }
}

/// What a budget limits.
#[derive(Clone, Debug)]
pub enum Scope {
    /// The run as a whole.
    Everything,
    /// Each route that matches, over all rounds.
    Routes {
        /// The request method; `*` means any.
        method: String,
        /// The route.
        route: Pattern,
    },
    /// Each test that matches, in each round.
    Tests(Pattern),
}

impl Scope {
    /// Whether this route is in the scope.
    pub fn has_route(&self, of_method: &str, of_route: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Routes { method, route } => (method == "*" || method == of_method) && route.matches(of_route),
            Self::Tests(_) => false,
        }
    }

    /// Whether this test is in the scope.
    pub fn has_test(&self, binary: &str, name: &str) -> bool {
        matches!(self, Self::Tests(pattern) if pattern.matches_test(binary, name))
    }
}

/// A text, or a pattern that texts match.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: GlobMatcher,
}

impl Pattern {
    /// A pattern of routes, as the report names them. Only `*` stands for anything, because `{id}` is part of a name.
    pub fn of_routes(text: &str) -> Option<Self> {
        let parts: Vec<String> = text.split('*').map(globset::escape).collect();
        Self::new(text, &parts.join("*"))
    }

    /// A pattern of tests: a glob with `*`, `?`, `[a-z]` and `{a,b}`.
    pub fn of_tests(text: &str) -> Option<Self> {
        Self::new(text, text)
    }

    fn new(text: &str, glob: &str) -> Option<Self> {
        let glob = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build().ok()?;
        Some(Self { text: text.to_owned(), glob: glob.compile_matcher() })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this test matches: by its name, by target and name, or by binary and name.
    pub fn matches_test(&self, binary: &str, name: &str) -> bool {
        let target = binary.rsplit("::").next().unwrap_or(binary);
        [name.to_owned(), format!("{target}::{name}"), format!("{binary} {name}")].iter().any(|text| self.matches(text))
    }

    /// Whether this text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.text == text || self.glob.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_by_name_and_by_star() {
        let matches = |pattern: &str, route: &str| Pattern::of_routes(pattern).expect("valid").matches(route);
        assert!(matches("/users/{id}", "/users/{id}") && !matches("/users/{id}", "/users/id"));
        assert!(matches("/api/*", "/api/a/{b}") && !matches("/api/*", "/other") && matches("*", "/a"));
        assert!(matches("/files/*", "/files/*") && matches("/a[1]?", "/a[1]?") && !matches("/a?", "/ab"));
    }

    #[test]
    fn tests_by_glob() {
        let scope = |pattern: &str| Scope::Tests(Pattern::of_tests(pattern).expect("valid"));
        let has = |pattern: &str| scope(pattern).has_test("shop::api", "users::create");
        for good in
            ["users::create", "users::*", "api::*", "*create", "shop::api *", "shop::api users::*", "*", "{users,x}::*"]
        {
            assert!(has(good), "{good}");
        }
        for bad in ["users", "api *", "create*", "shop::api"] {
            assert!(!has(bad), "{bad}");
        }
        assert!(Pattern::of_tests("[").is_none());
    }
}
