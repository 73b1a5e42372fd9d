//! The variables that OpenTelemetry specifies. An invalid one is warned about and counts as not set; but one without
//! which nothing would be sent as it was meant to be is an error.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::environment::Environment;
use super::source::{Setting, Source};
use crate::error::Error;

/// Reads the variables, and collects the warnings about them.
#[derive(Debug)]
pub(super) struct OpenTelemetry<'a> {
    environment: &'a Environment,
    pub(super) warnings: Vec<String>,
}

impl<'a> OpenTelemetry<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, warnings: Vec::new() }
    }

    /// The first of some variables that is set and valid.
    pub(super) fn first<T>(
        &mut self,
        names: &[&str],
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Setting<T>> {
        for name in names {
            let Some(raw) = self.environment.raw(name) else { continue };
            match raw.to_str().and_then(|text| parse(text.trim())) {
                Some(value) => return Some(Setting { value, source: Source::Variable((*name).to_owned()) }),
                // What it holds may be a secret.
                None => self.warnings.push(format!("the variable {name} is ignored: it is not {expected}")),
            }
        }
        None
    }

    /// The first of some variables that is set, which must be one of some words.
    pub(super) fn required_choice<T: Copy>(
        &self,
        names: &[&str],
        words: &[(&str, T)],
    ) -> Result<Option<Setting<T>>, Error> {
        let Some((name, raw)) = names.iter().find_map(|name| Some((*name, self.environment.raw(name)?))) else {
            return Ok(None);
        };
        let text = raw.to_string_lossy();
        match words.iter().find(|(word, _)| text.trim().eq_ignore_ascii_case(word)) {
            Some((_, value)) => Ok(Some(Setting { value: *value, source: Source::Variable(name.to_owned()) })),
            None => Err(Error::Config {
                place: format!("variable {name}"),
                message: format!("'{}' is not supported", text.escape_debug()),
                hint: Some(format!(
                    "it may be `{}`",
                    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join("` or `")
                )),
            }),
        }
    }

    /// The path of a file, from the first of some variables that is set.
    pub(super) fn file(&self, names: &[&str]) -> Option<Setting<PathBuf>> {
        names.iter().find_map(|name| {
            let value = PathBuf::from(self.environment.raw(name)?);
            Some(Setting { value, source: Source::Variable((*name).to_owned()) })
        })
    }

    /// A time in milliseconds.
    pub(super) fn milliseconds(&mut self, names: &[&str]) -> Option<Setting<Duration>> {
        self.first(names, "a number of milliseconds above zero", |text| {
            text.parse().ok().filter(|milliseconds| *milliseconds > 0).map(Duration::from_millis)
        })
    }

    /// Pairs as in `OTEL_RESOURCE_ATTRIBUTES`.
    pub(super) fn pairs(&mut self, name: &str) -> Option<Setting<Vec<(String, String)>>> {
        self.first(&[name], "a list such as key=value,other=value", pairs)
    }
}

/// `key=value,other=value`, values percent-encoded; one wrong pair spoils all.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=')?;
            let decode = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
            Some((decode(key).filter(|key| !key.is_empty())?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let expected = [("a", "1"), ("b", "x y=z"), ("c", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(pairs("a=1, b = x%20y=z ,c=,"), Some(expected.to_vec()));
        for wrong in ["a", "=1", "a=%ff", "a=1,b"] {
            assert_eq!(pairs(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_invalid_is_warned_about_and_the_next_counts() {
        let environment = [("SPECIFIC", "-1"), ("GENERAL", "250")].into_iter().collect();
        let mut variables = OpenTelemetry::new(&environment);
        let found = variables.milliseconds(&["SPECIFIC", "GENERAL"]).expect("the general one");
        assert_eq!((found.value, found.source.to_string().as_str()), (Duration::from_millis(250), "variable GENERAL"));
        assert_eq!(
            variables.warnings,
            ["the variable SPECIFIC is ignored: it is not a number of milliseconds above zero"]
        );
    }
}
