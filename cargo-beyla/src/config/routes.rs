//! Which paths belong together, and which are not exported.

use super::keys::{ROUTES, ROUTES_IGNORE_MODE, ROUTES_IGNORED, ROUTES_PATTERNS, ROUTES_UNMATCHED};
use super::layers::Layers;
use super::node::{Node, Wrong};
use super::source::Setting;
use super::values::{choice, list, text};
use crate::error::Error;
use cargo_beyla_core::exchange::pattern::PathPatterns;
use cargo_beyla_core::exchange::route::RouteTable;

/// What becomes of the requests of `ignored_patterns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IgnoreMode {
    /// They are in no traces and in no metrics.
    #[default]
    All,
    /// They are in no traces.
    Traces,
    /// They are in no metrics.
    Metrics,
}

impl IgnoreMode {
    pub(super) const WORDS: &[(&str, Self)] =
        &[("all", Self::All), ("traces", Self::Traces), ("metrics", Self::Metrics)];
}

/// The route of a path that no pattern matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// What looks like an id is folded: what [`RouteTable`] does.
    #[default]
    Heuristic,
    /// Such a path has no route.
    Unset,
    /// The path itself.
    Path,
    /// `/**`.
    Wildcard,
    /// As [`Self::Heuristic`]; Beyla's limits how many different segments there may be.
    LowCardinality,
}

impl Unmatched {
    pub(super) const WORDS: &[(&str, Self)] = &[
        ("heuristic", Self::Heuristic),
        ("unset", Self::Unset),
        ("path", Self::Path),
        ("wildcard", Self::Wildcard),
        ("low-cardinality", Self::LowCardinality),
    ];
}

/// Which paths belong together, and which are not exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Patterns that paths are matched with: `/users/{id}`, `/users/:id`, `/files/*`.
    pub patterns: Setting<Vec<String>>,
    /// Patterns of the paths that are not exported.
    pub ignored_patterns: Option<Setting<Vec<String>>>,
    /// What these are left out of.
    pub ignore_mode: Setting<IgnoreMode>,
    /// The exported route of a path that no pattern matches.
    pub unmatched: Setting<Unmatched>,
}

impl Routes {
    pub(super) fn load(flags: &[String], layers: &Layers<'_>) -> Result<Self, Error> {
        let given = Setting::of_flag("--route", (!flags.is_empty()).then(|| flags.to_vec()));
        if let Some(given) = &given {
            PathPatterns::new(&given.value).map_err(Error::RoutePattern)?;
        }
        let patterns = given.or(layers.first_of(&[&ROUTES, &ROUTES_PATTERNS], patterns)?);
        Ok(Self {
            patterns: patterns.unwrap_or(Setting::default_of(Vec::new())),
            ignored_patterns: layers.get(&ROUTES_IGNORED, self::patterns)?,
            ignore_mode: layers
                .get(&ROUTES_IGNORE_MODE, |node| choice(node, IgnoreMode::WORDS))?
                .unwrap_or(Setting::default_of(IgnoreMode::default())),
            unmatched: layers
                .get(&ROUTES_UNMATCHED, |node| choice(node, Unmatched::WORDS))?
                .unwrap_or(Setting::default_of(Unmatched::default())),
        })
    }

    /// Puts paths into routes: the patterns first, then what looks like an id is folded.
    pub fn table(&self) -> Result<RouteTable, Error> {
        RouteTable::new(&self.patterns.value).map_err(Error::RoutePattern)
    }

    /// Matches the paths that are not exported.
    pub fn ignored(&self) -> Result<PathPatterns, Error> {
        let patterns = self.ignored_patterns.as_ref().map_or(&[][..], |setting| setting.value.as_slice());
        PathPatterns::new(patterns).map_err(Error::RoutePattern)
    }
}

/// Patterns that go together; one that is there twice counts once.
fn patterns(node: &Node) -> Result<Vec<String>, Wrong> {
    const KIND: &str = "a list of patterns such as /users/{id}";
    let parse = |node: &Node| {
        let pattern = text(node)?;
        PathPatterns::new(std::slice::from_ref(&pattern)).map_err(|error| node.wrong(format!("the {error}")))?;
        Ok(pattern)
    };
    let mut patterns: Vec<String> = Vec::new();
    for pattern in list(node, KIND, parse)? {
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    PathPatterns::new(&patterns).map_err(|error| node.wrong(format!("the {error}")))?;
    Ok(patterns)
}
