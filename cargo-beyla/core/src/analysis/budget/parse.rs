//! `[METHOD ROUTE | test PATTERN] METRIC OPERATOR VALUE` -> [`Budget`].

use crate::analysis::budget::metric::{Metric, Operator};
use crate::analysis::budget::model::{Budget, Pattern, Scope};
use crate::model::duration::parse_duration;

/// Examples that show the whole syntax.
pub const EXAMPLE: &str = "write it as in 'GET /users/{id} p99 < 20ms', 'test api::* requests <= 10' or 'errors == 0'";

/// The longest budget, in bytes.
const LENGTH_MAX: usize = 1000;

/// What is wrong with a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The place, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} at column {}", self.message, self.column)
    }
}

/// A part of a text that knows its place in it.
#[derive(Clone, Copy)]
struct Part<'a> {
    whole: &'a str,
    start: usize,
    text: &'a str,
}

impl<'a> Part<'a> {
    fn new(whole: &'a str, start: usize, end: usize) -> Self {
        let text = &whole[start..end];
        Self { whole, start: start + (text.len() - text.trim_start().len()), text: text.trim() }
    }

    /// Splits off the last word: what comes before it, and the word.
    fn last_word(self) -> (Self, Self) {
        let at = self
            .text
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + self.text[space..].chars().next().map_or(0, char::len_utf8));
        let (before, word) = (self.start + at, self.start + self.text.len());
        (Self::new(self.whole, self.start, before), Self::new(self.whole, before, word))
    }

    /// Splits off the first word: the word, and what follows it.
    fn first_word(self) -> (Self, Self) {
        let end = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        let (middle, end) = (self.start + end, self.start + self.text.len());
        (Self::new(self.whole, self.start, middle), Self::new(self.whole, middle, end))
    }

    fn wrong(self, message: impl Into<String>) -> Wrong {
        Wrong { column: 1 + self.whole[..self.start].chars().count(), message: message.into() }
    }

    /// The error that something else was expected here.
    fn expected(self, expected: &str) -> Wrong {
        let found: String = self.text.chars().take(40).collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{}`", found.escape_debug()) };
        self.wrong(format!("expected {expected}, found {found}"))
    }
}

/// Reads a budget.
pub fn parse(text: &str) -> Result<Budget, Wrong> {
    let whole = Part::new(text, 0, text.len());
    if text.len() > LENGTH_MAX {
        return Err(whole.wrong(format!("a budget has at most {LENGTH_MAX} bytes")));
    }
    // Routes may contain these characters and values may not, so the search starts at the end.
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!');
    let Some(last) = text.rfind(is_operator) else {
        let end = Part { whole: text, start: whole.start + whole.text.len(), text: "" };
        return Err(end.expected("a metric, one of < <= == >= > !=, and a value"));
    };
    let first = text[..last]
        .rfind(|c| !is_operator(c))
        .map_or(0, |before| before + text[before..].chars().next().map_or(0, char::len_utf8));
    let operator = Part::new(text, first, last + 1);
    let value = Part::new(text, last + 1, text.len());
    let (scope, metric) = Part::new(text, 0, first).last_word();
    let metric_of = one_of(metric, Metric::WORDS, "a metric")?;
    let operator = one_of(operator, Operator::WORDS, "an operator")?;
    let scope = scope_of(scope)?;
    if metric_of == Metric::Duration && !matches!(scope, Scope::Tests(_)) {
        return Err(metric.wrong("only tests have a duration: begin with `test PATTERN`"));
    }
    let bound = bound(value, metric_of)?;
    Ok(Budget { name: None, text: whole.text.to_owned(), scope, metric: metric_of, operator, bound })
}

fn one_of<T: Copy>(part: Part<'_>, words: &[(&str, T)], kind: &str) -> Result<T, Wrong> {
    let found = words.iter().find(|(word, _)| *word == part.text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        part.expected(&format!("{kind} ({})", words.join(" ")))
    })
}

fn scope_of(part: Part<'_>) -> Result<Scope, Wrong> {
    let (first, rest) = part.first_word();
    match (first.text, rest.text) {
        ("", _) => Ok(Scope::Everything),
        ("test", "") => Err(rest.expected("a pattern of tests after `test`")),
        ("test", pattern) => {
            let pattern = Pattern::of_tests(pattern).ok_or_else(|| rest.expected("a pattern such as api::*"))?;
            Ok(Scope::Tests(pattern))
        }
        (_, "") => Err(part.expected("METHOD and ROUTE, as in `GET /users/{id}`, or `test PATTERN`")),
        (method, route) if route.contains(char::is_whitespace) => {
            let (_, more) = rest.first_word();
            Err(more.wrong(format!("a route has no spaces; expected a metric after `{}`", method.escape_debug())))
        }
        (method, route) => {
            let route = Pattern::of_routes(route).ok_or_else(|| rest.expected("a route"))?;
            Ok(Scope::Routes { method: method.to_owned(), route })
        }
    }
}

fn bound(part: Part<'_>, metric: Metric) -> Result<u64, Wrong> {
    if !metric.is_time() {
        return part.text.replace('_', "").parse().map_err(|_| part.expected("a whole number"));
    }
    let text: String = part.text.split_whitespace().collect();
    // A number without a unit would mean seconds here, and its author may well mean milliseconds.
    let has_unit = text.ends_with(char::is_alphabetic) || text == "0";
    let time = parse_duration(&text).filter(|_| has_unit);
    let nanoseconds = time.and_then(|time| u64::try_from(time.as_nanos()).ok());
    nanoseconds.ok_or_else(|| part.expected("a time such as 300us, 20ms or 1.5s"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn budgets_of_all_kinds() {
        for (text, metric, operator, bound) in [
            ("GET /users/{id} p99 < 20ms", Metric::P99, Operator::Less, 20_000_000),
            ("test api::* requests <= 10", Metric::Requests, Operator::AtMost, 10),
            ("errors == 0", Metric::Errors, Operator::Equal, 0),
            ("errors==0", Metric::Errors, Operator::Equal, 0),
            ("* /hello max<5ms", Metric::Max, Operator::Less, 5_000_000),
            ("  GET  /a  mean  !=  1.5 s ", Metric::Mean, Operator::Unequal, 1_500_000_000),
            ("GET /a=b>c total > 300us", Metric::Total, Operator::Greater, 300_000),
            ("test shop::api users::* duration >= 0", Metric::Duration, Operator::AtLeast, 0),
            ("POST /a count < 1_000", Metric::Requests, Operator::Less, 1000),
            ("p50 < 1m30s", Metric::P50, Operator::Less, 90_000_000_000),
        ] {
            let budget = parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
            assert_eq!((budget.metric, budget.operator, budget.bound), (metric, operator, bound), "{text}");
        }
        assert!(parse("GET /a=b>c p50 < 1s").unwrap().scope.has_route("GET", "/a=b>c"));
        assert!(parse("test a b* errors == 0").unwrap().scope.has_test("a", "bc"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        let mut said = String::new();
        for text in [
            "",
            "GET /users",
            "GET /users p98 < 20ms",
            "GET /users p99 =< 20ms",
            "GET /users p99 = 20ms",
            "GET /users p99 < 20",
            "GET /users p99 < fast",
            "GET /users p99 <",
            "GET /users < 20ms",
            "/users p99 < 20ms",
            "GET /a b p99 < 20ms",
            "test requests <= 10",
            "test [ requests <= 10",
            "requests <= 1.5",
            "errors < -1",
            "duration < 1s",
            "GET /ü p98 < 20ms",
        ] {
            let wrong = parse(text).expect_err(text);
            let _ = writeln!(said, "{text}\n{:>1$} {wrong}", '^', wrong.column);
        }
        insta::assert_snapshot!(said);
        assert!(parse(&"x".repeat(2000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_budget_or_wrong_within_it(text in "\\PC{0,40}") {
            if let Err(wrong) = parse(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&wrong.column));
            }
        }

        #[test]
        fn almost_budgets(text in "(GET |test )?[a/{} *]{0,6}(p99|errors|duration)[ <>=!]{0,4}[0-9msu. ]{0,5}") {
            if let Ok(budget) = parse(&text) {
                prop_assert_eq!(parse(&budget.text), Ok(budget));
            }
        }
    }
}
