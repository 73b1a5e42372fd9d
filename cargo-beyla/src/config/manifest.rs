//! `[package.metadata.beyla]` and `[workspace.metadata.beyla]` -> [`Node`].

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Origin};
use super::node::{Entry, Node, Position, Text, Value};
use crate::error::Error;

/// The table of a package.
pub(super) const PACKAGE: &str = "package.metadata.beyla";
/// The table of a workspace.
pub(super) const WORKSPACE: &str = "workspace.metadata.beyla";

/// Reads the table of a manifest, if it has one.
pub(super) fn read(path: &Path, table: &'static str) -> Result<Option<Document>, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::File { verb: "read", path: path.to_owned(), source })?;
    parse(&text, path, table)
}

/// The table of a manifest that has been read.
pub(super) fn parse(text: &str, path: &Path, table: &'static str) -> Result<Option<Document>, Error> {
    let manifest = DeTable::parse(text).map_err(|error| Error::Config {
        place: path.display().to_string(),
        message: format!("this is not TOML: {}", error.message()),
        hint: None,
    })?;
    let (first, rest) = table.split_once('.').unwrap_or((table, ""));
    let mut found = manifest.get_ref().get(first);
    for part in rest.split('.') {
        found = found.and_then(|value| value.get_ref().as_table()?.get(part));
    }
    let root = found.map(|value| node(value, text));
    Ok(root.map(|root| Document { path: path.to_owned(), origin: Origin::Manifest(table), root }))
}

fn node(value: &Spanned<DeValue<'_>>, text: &str) -> Node {
    let scalar = |value: String| Value::Text(Text { written: value.clone(), value });
    let converted = match value.get_ref() {
        DeValue::String(string) => scalar(string.to_string()),
        DeValue::Integer(integer) => scalar(integer.to_string()),
        DeValue::Float(float) => scalar(float.to_string()),
        DeValue::Boolean(boolean) => scalar(boolean.to_string()),
        DeValue::Datetime(datetime) => scalar(datetime.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| node(value, text)).collect()),
        DeValue::Table(table) => Value::Map(
            table
                .iter()
                .map(|(key, value)| Entry {
                    key: key.get_ref().to_string(),
                    at: position(text, key.span().start),
                    node: node(value, text),
                })
                .collect(),
        ),
    };
    Node { at: position(text, value.span().start), value: converted }
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_its_places() {
        let text = "[package]\nname = 'a'\n\n[package.metadata.beyla]\nslowest = 3\nroutes = ['/a', '/b']\n";
        let document = parse(text, Path::new("Cargo.toml"), PACKAGE).unwrap().expect("a table");
        let Value::Map(entries) = document.root.value else { panic!("a section") };
        let seen: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.at, entry.node.at)).collect();
        let at = |line, column| Position { line, column };
        assert!(seen.contains(&("slowest", at(5, 1), at(5, 11))), "{seen:?}");
        assert!(seen.contains(&("routes", at(6, 1), at(6, 10))), "{seen:?}");
    }

    #[test]
    fn no_table_is_no_document() {
        for text in ["", "[package]\nname = 'a'", "[package.metadata.other]\nslowest = 3", "package = 3"] {
            assert!(parse(text, Path::new("Cargo.toml"), PACKAGE).unwrap().is_none(), "{text}");
        }
    }
}
