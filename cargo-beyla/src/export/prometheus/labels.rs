//! Attributes as labels.
//!
//! By the OpenTelemetry specification, in what it says of Prometheus ("Metric Attributes"): a character that a name of a
//! label cannot have becomes `_`, several of them become one, and where two attributes come to have the same name, it
//! has both values, with `;` between them, in the order of the attributes' own names.

use std::borrow::Cow;
use std::fmt::{self, Write};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// Labels that have a meaning in the types of metrics that they belong to, and that we write ourselves. An attribute of
/// such a name is renamed as Prometheus renames what collides with a label of its own.
const RESERVED: [&str; 2] = ["le", "quantile"];

/// The labels of a data point or a resource as they are written, without the braces.
#[derive(Debug, Default)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) fn of(attributes: &[KeyValue]) -> Self {
        let mut labels: Vec<(String, Vec<&KeyValue>)> = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let name = name(&attribute.key);
            match labels.iter_mut().find(|(other, _)| *other == name) {
                Some((_, colliding)) => colliding.push(attribute),
                None => labels.push((name, vec![attribute])),
            }
        }
        let mut out = String::new();
        for (name, mut colliding) in labels {
            colliding.sort_by(|a, b| a.key.cmp(&b.key));
            let values: Vec<_> = colliding.into_iter().map(value).collect();
            let divider = if out.is_empty() { "" } else { "," };
            // A String takes whatever there is memory for.
            let _ = write!(out, "{divider}{name}=\"");
            let _ = escape(&mut out, &values.join(";"));
            out.push('"');
        }
        Self(out)
    }

    /// Writes them, with the upper bound of a bucket if it is one.
    pub(super) fn write(&self, out: &mut String, le: Option<&str>) -> fmt::Result {
        let Self(labels) = self;
        match le {
            Some(le) if labels.is_empty() => write!(out, "{{le=\"{le}\"}}"),
            Some(le) => write!(out, "{{{labels},le=\"{le}\"}}"),
            None if labels.is_empty() => Ok(()),
            None => write!(out, "{{{labels}}}"),
        }
    }
}

/// The name of the label for an attribute: `[a-zA-Z_][a-zA-Z0-9_]*`, with no `__`, which Prometheus keeps for itself.
/// promtool wants an underscore before a capital letter that follows a small one.
fn name(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 1);
    for character in key.chars() {
        let last = name.chars().next_back();
        if !character.is_ascii_alphanumeric() {
            if last != Some('_') {
                name.push('_');
            }
            continue;
        }
        let begins = last.is_none() && character.is_ascii_digit();
        let is_camel = last.is_some_and(|last| last.is_ascii_lowercase()) && character.is_ascii_uppercase();
        if begins || is_camel {
            name.push('_');
        }
        name.push(character);
    }
    if name.is_empty() {
        name.push('_');
    }
    if RESERVED.contains(&name.as_str()) { format!("exported_{name}") } else { name }
}

fn value(attribute: &KeyValue) -> Cow<'_, str> {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => Cow::Borrowed(text),
        Some(Value::IntValue(number)) => number.to_string().into(),
        Some(Value::BoolValue(flag)) => flag.to_string().into(),
        // There are none.
        _ => Cow::Borrowed(""),
    }
}

fn escape(out: &mut String, text: &str) -> fmt::Result {
    text.chars().try_for_each(|character| match character {
        '\\' => out.write_str("\\\\"),
        '"' => out.write_str("\\\""),
        '\n' => out.write_str("\\n"),
        other => out.write_char(other),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::export::key_value::{flag, number, text};

    fn written(attributes: &[KeyValue], le: Option<&str>) -> String {
        let mut out = String::new();
        Labels::of(attributes).write(&mut out, le).expect("a String takes all");
        out
    }

    #[test]
    fn what_collides_is_joined_in_the_order_of_the_attributes_names() {
        let attributes = [text("team_name", "b"), text("x", "1"), text("team.name", "a"), number("team-name", 7)];
        assert_eq!(written(&attributes, None), r#"{team_name="7;a;b",x="1"}"#);
        assert_eq!(
            written(&[flag("le", true), text("exported_le", "a")], Some("0.5")),
            r#"{exported_le="a;true",le="0.5"}"#
        );
        assert_eq!(written(&[], Some("0.5")), r#"{le="0.5"}"#);
        assert_eq!(written(&[], None), "");
    }

    #[test]
    fn every_attribute_has_a_name_that_a_label_can_have() {
        for (key, expected) in [
            ("http.route", "http_route"),
            ("9lives", "_9lives"),
            ("_9lives", "_9lives"),
            ("", "_"),
            ("é.ü", "_"),
            ("größe", "gr_e"),
            ("__name__", "_name_"),
            ("a..b__c", "a_b_c"),
            ("a:b c", "a_b_c"),
            ("teamName", "team_Name"),
            ("HTTPServer", "HTTPServer"),
            ("LE", "LE"),
            ("le", "exported_le"),
            ("quantile", "exported_quantile"),
            ("job", "job"),
        ] {
            assert_eq!(name(key), expected, "{key}");
        }
    }

    /// Reads labels back, by the grammar of the exposition format, and takes nothing else.
    fn read(written: &str) -> Option<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        let mut rest = written.strip_prefix('{')?;
        loop {
            let (name, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next()?.1 {
                        'n' => '\n',
                        escaped @ ('"' | '\\') => escaped,
                        _ => return None,
                    }),
                    (_, '\n') => return None,
                    (_, other) => value.push(other),
                }
            };
            let starts = |character: char| character.is_ascii_alphabetic() || character == '_';
            let valid = name.starts_with(starts) && name.chars().all(|c| starts(c) || c.is_ascii_digit());
            if !valid || name.starts_with("__") || labels.insert(name.to_owned(), value).is_some() {
                return None;
            }
            match &after[end + 1..] {
                "}" => return Some(labels),
                more => rest = more.strip_prefix(',')?,
            }
        }
    }

    /// Names as they should not be, many of them alike.
    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-b._9A-B-]{0,4}",
            "\\PC{0,6}",
            Just("le".to_owned()),
            Just("__name__".to_owned()),
            Just("job".to_owned()),
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_attributes_are_all_are_told_and_can_be_read(
            attributes in proptest::collection::btree_map(key(), any::<String>(), 1..12),
        ) {
            let attributes: Vec<_> = attributes.into_iter().map(|(key, value)| text(&key, value)).collect();
            let written = written(&attributes, Some("+Inf"));
            let labels = read(&written).ok_or_else(|| TestCaseError::fail(written.clone()))?;
            prop_assert_eq!(labels.get("le").map(String::as_str), Some("+Inf"));
            let names: BTreeSet<_> = attributes.iter().map(|attribute| name(&attribute.key)).collect();
            prop_assert_eq!(labels.len(), names.len() + 1);
            for attribute in &attributes {
                let told = &labels[&name(&attribute.key)];
                prop_assert!(told.contains(&*value(attribute)), "{:?} lacks {:?}", told, attribute);
            }
        }
    }
}
