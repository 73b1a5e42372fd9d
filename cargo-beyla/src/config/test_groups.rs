//! Tests that share something, such as a port: only a few of each group run at a time.

use std::num::NonZeroUsize;

use super::keys::TEST_GROUPS;
use super::layers::{Layers, in_document};
use super::node::{Entry, Node, Value, Wrong, is_key};
use super::source::Setting;
use super::values::scalar;
use crate::error::Error;
use cargo_beyla_core::analysis::budget::definition::Pattern;

/// What may stand in the section of a group.
const KEYS: [&str; 2] = ["filter", "max_threads"];

/// Suggestions are at least so alike, by Jaro and Winkler.
const ALIKE: f64 = 0.7;

/// A group of tests.
#[derive(Clone, Debug)]
pub struct TestGroup {
    /// What it is called.
    pub name: String,
    /// Its tests are those that one of these matches.
    pub filter: Vec<Pattern>,
    /// So many of them run at a time.
    pub max_threads: NonZeroUsize,
}

impl TestGroup {
    /// Whether a test belongs to it.
    pub fn has_test(&self, binary: &str, name: &str) -> bool {
        self.filter.iter().any(|pattern| pattern.matches_test(binary, name))
    }
}

/// It as `--show-config` has it: `port-8080: api::*, server::*; max-threads 1`.
impl std::fmt::Display for TestGroup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let patterns: Vec<&str> = self.filter.iter().map(Pattern::text).collect();
        write!(formatter, "{}: {}; max-threads {}", self.name, patterns.join(", "), self.max_threads)
    }
}

/// The groups of the first file that has any, and of each package where several are tested.
pub(super) fn test_groups(layers: &Layers<'_>) -> Result<Vec<Setting<TestGroup>>, Error> {
    let mut configured: Vec<_> = layers.get(&TEST_GROUPS, groups)?.into_iter().collect();
    for document in &layers.several {
        configured.extend(in_document(document, &TEST_GROUPS, groups)?);
    }
    let each = |Setting { value, source }: Setting<Vec<TestGroup>>| {
        value.into_iter().map(move |group| Setting { value: group, source: source.clone() })
    };
    Ok(configured.into_iter().flat_map(each).collect())
}

fn groups(node: &Node) -> Result<Vec<TestGroup>, Wrong> {
    match &node.value {
        Value::Map(entries) => entries.iter().map(group).collect(),
        Value::Empty => Ok(Vec::new()),
        Value::Text(_) | Value::List(_) => Err(node.expected("a section for each group, with `filter`")),
    }
}

fn group(entry: &Entry) -> Result<TestGroup, Wrong> {
    const SECTION: &str = "a section with `filter` and `max-threads`";
    let Value::Map(entries) = &entry.node.value else { return Err(entry.node.expected(SECTION)) };
    if let Some(unknown) = entries.iter().find(|entry| !KEYS.iter().any(|key| is_key(&entry.key, key))) {
        return Err(unknown_key(&entry.key, unknown));
    }
    let find = |key: &str| entries.iter().find(|entry| is_key(&entry.key, key)).map(|entry| &entry.node);
    let Some(filter) = find("filter") else {
        let message = format!("the test group `{}` has no `filter`", entry.key.escape_debug());
        return Err(Wrong { at: entry.at, message, hint: Some(EXAMPLE.to_owned()) });
    };
    let filter = match &filter.value {
        Value::List(nodes) => nodes.iter().map(pattern).collect::<Result<Vec<_>, _>>()?,
        _ => vec![pattern(filter)?],
    };
    let max_threads = find("max_threads").map_or(Ok(NonZeroUsize::MIN), max_threads)?;
    Ok(TestGroup { name: entry.key.clone(), filter, max_threads })
}

/// What a filter looks like.
const EXAMPLE: &str = "write it as in filter = 'api::*', or as a list of such patterns";

fn pattern(node: &Node) -> Result<Pattern, Wrong> {
    const KIND: &str = "a pattern of tests such as 'api::*'";
    let text = scalar(node, KIND)?.trim();
    let pattern = Pattern::of_tests(text).filter(|_| !text.is_empty());
    pattern.ok_or_else(|| Wrong { hint: Some(EXAMPLE.to_owned()), ..node.expected(KIND) })
}

fn max_threads(node: &Node) -> Result<NonZeroUsize, Wrong> {
    const KIND: &str = "a whole number above 0";
    scalar(node, KIND)?.trim().parse().map_err(|_| node.expected(KIND))
}

fn unknown_key(group: &str, unknown: &Entry) -> Wrong {
    let key = unknown.key.replace('-', "_");
    let alike = KEYS.iter().map(|known| (strsim::jaro_winkler(known, &key), known));
    let best = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match best {
        Some((_, known)) => format!("did you mean `{}`?", known.replace('_', "-")),
        None => "a test group has `filter` and `max-threads`".to_owned(),
    };
    let quoted: String = unknown.key.chars().take(60).collect();
    let message = format!("unknown key `{}` in the test group `{}`", quoted.escape_debug(), group.escape_debug());
    Wrong { at: unknown.at, message, hint: Some(hint) }
}
