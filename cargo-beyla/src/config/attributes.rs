//! `filter.application` and `attributes.select`: what is exported of requests, and what of each.

use globset::{GlobBuilder, GlobMatcher};

use super::node::{Entry, Node, Value, Wrong};
use super::values::{list, scalar};

/// The units and parts that Prometheus appends to the name of a metric.
const SUFFIXES: [&str; 6] = ["_bucket", "_sum", "_count", "_total", "_seconds", "_bytes"];

/// A pattern with `*`, `?`, `[a-z]` and `{a,b}`.
#[derive(Clone, Debug)]
pub struct Glob(GlobMatcher);

impl Glob {
    /// Whether the whole of a text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The pattern itself.
    pub fn pattern(&self) -> &str {
        self.0.glob().glob()
    }

    fn new(pattern: &str) -> Option<Self> {
        GlobBuilder::new(pattern).backslash_escape(true).build().ok().map(|glob| Self(glob.compile_matcher()))
    }
}

/// Which requests are exported, by one of their attributes.
#[derive(Clone, Debug)]
pub struct AttributeFilter {
    /// The attribute, its name as it was written.
    pub attribute: String,
    /// Its value must match.
    pub matches: Option<Glob>,
    /// Its value must not match.
    pub not_matches: Option<Glob>,
}

impl AttributeFilter {
    /// Whether it speaks of an attribute, by its OpenTelemetry or Prometheus name.
    pub fn is_about(&self, attribute: &str) -> bool {
        underscored(&self.attribute) == underscored(attribute)
    }

    /// Whether a request is exported whose attribute has this value; one without the attribute has an empty one.
    pub fn accepts(&self, value: &str) -> bool {
        self.matches.as_ref().is_none_or(|glob| glob.is_match(value))
            && !self.not_matches.as_ref().is_some_and(|glob| glob.is_match(value))
    }
}

/// Which attributes a metric has.
#[derive(Clone, Debug)]
pub struct AttributeSelection {
    /// The metric, its name as it was written.
    pub metric: String,
    name: Glob,
    /// These and no others; `None`: those that it has by default.
    pub include: Option<Vec<Glob>>,
    /// But not these.
    pub exclude: Vec<Glob>,
}

impl AttributeSelection {
    /// Whether it speaks of a metric, by its OpenTelemetry or Prometheus name.
    pub fn is_about(&self, metric: &str) -> bool {
        self.name.is_match(&metric_name(metric))
    }

    /// Whether it leaves an attribute out.
    pub fn excludes(&self, attribute: &str) -> bool {
        any(&self.exclude, attribute)
    }
}

/// Whether a metric has an attribute, both by their OpenTelemetry names, that it has or has not `by_default`.
///
/// What is said of the metric is gone through from `*` to its very name: each may add attributes, and take
/// away what those before it have added. The defaults count if the first of them adds nothing.
pub fn selects(selections: &[AttributeSelection], metric: &str, attribute: &str, by_default: bool) -> bool {
    let mut about: Vec<_> = selections.iter().filter(|selection| selection.is_about(metric)).collect();
    about.sort_by_key(|selection| selection.name.pattern());
    let Some(first) = about.first() else { return by_default };
    let defaults = first.include.as_ref().is_none_or(Vec::is_empty);
    about.iter().fold(defaults && by_default, |selected, AttributeSelection { include, exclude, .. }| {
        (selected || include.as_ref().is_some_and(|include| any(include, attribute))) && !any(exclude, attribute)
    })
}

fn any(globs: &[Glob], attribute: &str) -> bool {
    let attribute = underscored(attribute);
    globs.iter().any(|glob| glob.is_match(&attribute))
}

/// The section `filter.application`.
pub(super) fn filters(node: &Node) -> Result<Vec<AttributeFilter>, Wrong> {
    section(node, "attributes, each with match or not_match", |entry, entries| {
        let mut filter = AttributeFilter { attribute: entry.key.clone(), matches: None, not_matches: None };
        for entry in entries {
            match entry.key.as_str() {
                "match" => filter.matches = Some(glob(&entry.node, str::to_owned)?),
                "not_match" => filter.not_matches = Some(glob(&entry.node, str::to_owned)?),
                _ => return Err(unknown(entry, &["match", "not_match"])),
            }
        }
        Ok(filter)
    })
}

/// The section `attributes.select`.
pub(super) fn selections(node: &Node) -> Result<Vec<AttributeSelection>, Wrong> {
    section(node, "metrics, each with include or exclude", |entry, entries| {
        let at_key = Node { at: entry.at, ..Node::text(entry.key.as_str()) };
        let name = glob(&at_key, metric_name)?;
        let mut selection = AttributeSelection { metric: entry.key.clone(), name, include: None, exclude: Vec::new() };
        let globs = |node: &Node| list(node, "a list of attributes", |node| glob(node, underscored));
        for entry in entries {
            match entry.key.as_str() {
                "include" => selection.include = Some(globs(&entry.node)?),
                "exclude" => selection.exclude = globs(&entry.node)?,
                _ => return Err(unknown(entry, &["include", "exclude"])),
            }
        }
        Ok(selection)
    })
}

/// A section of sections.
fn section<T>(node: &Node, kind: &str, parse: impl Fn(&Entry, &[Entry]) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    let Value::Map(entries) = &node.value else { return Err(node.expected(kind)) };
    let parse = |entry: &Entry| match &entry.node.value {
        Value::Map(inner) => parse(entry, inner),
        Value::Empty | Value::Text(_) | Value::List(_) => Err(entry.node.expected("a section")),
    };
    entries.iter().map(parse).collect()
}

fn unknown(entry: &Entry, known: &[&str]) -> Wrong {
    let message = format!("unknown key `{}`", entry.key.escape_debug());
    Wrong { at: entry.at, message, hint: Some(format!("it may be `{}`", known.join("` or `"))) }
}

fn glob(node: &Node, normalise: impl Fn(&str) -> String) -> Result<Glob, Wrong> {
    const KIND: &str = "a pattern such as /api/*";
    Glob::new(&normalise(scalar(node, KIND)?)).ok_or_else(|| node.expected(KIND))
}

/// `http.route` and `http_route` are the same attribute.
fn underscored(name: &str) -> String {
    name.replace('.', "_")
}

/// `http.server.request.duration` and `http_server_request_duration_seconds` are the same metric.
fn metric_name(name: &str) -> String {
    let name = underscored(name);
    let mut name = name.as_str();
    while let Some(shorter) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)) {
        name = shorter;
    }
    name.to_owned()
}

#[cfg(test)]
fn yaml(text: &str) -> Node {
    super::yaml::parse(text, |_| None).expect(text)
}

/// For tests: the section `filter.application`.
#[cfg(test)]
pub(crate) fn filters_of(text: &str) -> Vec<AttributeFilter> {
    filters(&yaml(text)).expect(text)
}

/// For tests: the section `attributes.select`.
#[cfg(test)]
pub(crate) fn selections_of(text: &str) -> Vec<AttributeSelection> {
    selections(&yaml(text)).expect(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_by_value() {
        let filters =
            filters(&yaml("url_path: {match: '/api/*'}\nhttp.route: {not_match: '/{health,ready}'}")).unwrap();
        assert!(filters[0].is_about("url.path") && !filters[0].is_about("url.query"));
        assert!(filters[0].accepts("/api/users/7") && !filters[0].accepts("/other") && !filters[0].accepts(""));
        assert!(filters[1].accepts("/users") && !filters[1].accepts("/ready"));
    }

    #[test]
    fn selections_by_name() {
        let text = "http_server_request_duration_seconds:\n  include: [http.*, server_address]\n  exclude: http.route";
        let selections = selections(&yaml(text)).unwrap();
        assert!(selections[0].is_about("http.server.request.duration"));
        assert!(!selections[0].is_about("http.server.request.body.size"));
        let selected = |text: &str, attribute: &str, by_default: bool| {
            super::selects(&selections_of(text), "http.server.request.duration", attribute, by_default)
        };
        assert!(selected(text, "http.request.method", false) && selected(text, "server.address", false));
        assert!(!selected(text, "http.route", true) && !selected(text, "url.path", true));
        let all = "'*': {exclude: [client.address]}";
        assert!(!selected(all, "client.address", true) && selected(all, "url.path", true));
        assert!(!selected(all, "url.path", false));
        assert!(selected("rpc.*: {include: [a]}", "http.route", true));
    }

    #[test]
    fn the_narrower_selection_has_the_last_word() {
        let text = "http_server_*: {include: [http_route]}\nhttp_*: {include: ['*'], exclude: [url_path, http_route]}";
        for (attribute, selected) in [("http.route", true), ("url.path", false), ("client.address", true)] {
            assert_eq!(selects(&selections_of(text), "http.server.request.duration", attribute, false), selected);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, place, part) in [
            ("a: {matches: b}", "1:5", "unknown key `matches`"),
            ("a: b", "1:4", "expected a section, found 'b'"),
            ("a:\n  match: [b]", "2:10", "expected a pattern"),
            ("a:\n  match: '[b'", "2:10", "expected a pattern"),
            ("[a]", "1:1", "expected attributes"),
        ] {
            let wrong = filters(&yaml(text)).expect_err(text);
            assert!(wrong.at.to_string() == place && wrong.message.contains(part), "{text}: {wrong:?}");
        }
        assert!(selections(&yaml("m: {included: []}")).is_err());
    }
}
