//! Values of each kind: out of a scalar, or of a list.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use cargo_beyla_core::model::duration::parse_duration;
use regex::Regex;

use super::node::{Node, Value, Wrong};
use super::percent::Percent;
use crate::console::status::LogLevel;

/// A scalar as it stands; `kind` says what is expected.
pub(super) fn scalar<'a>(node: &'a Node, kind: &str) -> Result<&'a str, Wrong> {
    match &node.value {
        Value::Text(text) => Ok(&text.value),
        Value::Empty | Value::List(_) | Value::Map(_) => Err(node.expected(kind)),
    }
}

/// A text that is not empty.
pub(super) fn text(node: &Node) -> Result<String, Wrong> {
    let text = scalar(node, "a text")?.trim();
    if text.is_empty() { Err(node.expected("a text")) } else { Ok(text.to_owned()) }
}

/// A whole number.
pub(super) fn count(node: &Node) -> Result<usize, Wrong> {
    const KIND: &str = "a whole number";
    scalar(node, KIND)?.trim().replace('_', "").parse().map_err(|_| node.expected(KIND))
}

/// A part, in percent.
pub(super) fn percent(node: &Node) -> Result<Percent, Wrong> {
    const KIND: &str = "a percentage from 0 to 100";
    scalar(node, KIND)?.trim().parse().map_err(|()| node.expected(KIND))
}

/// `true` or `false`, as Beyla reads it: in a variable what Go takes for one, in a file also the words of YAML 1.1.
pub(super) fn boolean(node: &Node) -> Result<bool, Wrong> {
    const KIND: &str = "true or false";
    let value = match scalar(node, KIND)?.trim() {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if node.is_in_file() => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if node.is_in_file() => Some(false),
        _ => None,
    };
    value.ok_or_else(|| node.expected(KIND))
}

/// A time.
pub(super) fn duration(node: &Node) -> Result<Duration, Wrong> {
    const KIND: &str = "a time such as 500ms, 30s, 5m or 1h";
    parse_duration(scalar(node, KIND)?.trim()).ok_or_else(|| node.expected(KIND))
}

/// A time that is not zero.
pub(super) fn interval(node: &Node) -> Result<Duration, Wrong> {
    let interval = duration(node)?;
    if interval.is_zero() { Err(node.expected("a time above zero")) } else { Ok(interval) }
}

/// One of some words, in capitals or not; its kind is the list of them.
pub(super) fn choice<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Wrong> {
    let kind = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let kind = format!("one of {kind}");
    let text = scalar(node, &kind)?.trim();
    let found = words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let alike = words.iter().map(|(word, _)| (strsim::jaro_winkler(word, &text.to_ascii_lowercase()), word));
        let best = alike.filter(|(alike, _)| *alike >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
        Wrong { hint: best.map(|(_, word)| format!("did you mean `{word}`?")), ..node.expected(&kind) }
    })
}

/// A list, or a text with its parts between commas; each part is parsed where it stands.
pub(super) fn list<T>(node: &Node, kind: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    match &node.value {
        Value::List(nodes) => nodes.iter().map(parse).collect(),
        Value::Text(text) => {
            let parts = text.value.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| parse(&Node { at: node.at, ..Node::text(part) })).collect()
        }
        Value::Empty | Value::Map(_) => Err(node.expected(kind)),
    }
}

/// A regular expression.
pub(super) fn regex(node: &Node) -> Result<Regex, Wrong> {
    const KIND: &str = "a regular expression";
    Regex::new(scalar(node, KIND)?).map_err(|_| node.expected(KIND))
}

/// Ports: `8080`, `8080,8443`, `8000-8999`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// Whether it is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// The port, if it is one alone.
    pub fn single(&self) -> Option<u16> {
        match self.0[..] {
            [(first, last)] if first == last => Some(first),
            _ => None,
        }
    }
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self(vec![(port, port)])
    }
}

impl FromStr for Ports {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let port = |text: &str| text.trim().parse().ok().filter(|port: &u16| *port > 0).ok_or(());
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = (port(first)?, port(last)?);
            if range.0 <= range.1 { Ok(range) } else { Err(()) }
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(formatter, "{comma}{first}")?;
            } else {
                write!(formatter, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// Ports; a list of them is taken as well.
pub(super) fn ports(node: &Node) -> Result<Ports, Wrong> {
    const KIND: &str = "ports such as 8080, \"8080,8443\" or \"8000-8999\"";
    let parse = |node: &Node| scalar(node, KIND)?.parse().map_err(|()| node.expected(KIND));
    match &node.value {
        Value::List(nodes) => {
            let lists: Vec<Ports> = nodes.iter().map(parse).collect::<Result<_, _>>()?;
            Ok(Ports(lists.into_iter().flat_map(|ports| ports.0).collect()))
        }
        _ => parse(node),
    }
}

/// One port; 0 is none.
pub(super) fn port(node: &Node) -> Result<u16, Wrong> {
    const KIND: &str = "a port from 0 to 65535";
    scalar(node, KIND)?.trim().parse().map_err(|_| node.expected(KIND))
}

/// What `trace_printer` is set to: how each request is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TracePrinter {
    /// Not at all.
    #[default]
    Disabled,
    /// Its number alone.
    Counter,
    /// A line.
    Text,
    /// A JSON object on a line.
    Json,
    /// A JSON object on several lines.
    JsonIndent,
}

impl TracePrinter {
    pub(super) const WORDS: &[(&str, Self)] = &[
        ("disabled", Self::Disabled),
        ("counter", Self::Counter),
        ("text", Self::Text),
        ("json", Self::Json),
        ("json_indent", Self::JsonIndent),
    ];
}

/// The words for how much is said.
pub(super) const LOG_LEVELS: &[(&str, LogLevel)] =
    &[("debug", LogLevel::Debug), ("info", LogLevel::Info), ("warn", LogLevel::Warn), ("error", LogLevel::Error)];

/// The word for a value, out of the words that are parsed.
pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, of)| of == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::super::node::Position;
    use super::*;

    #[test]
    fn booleans() {
        let both = |text: &str| {
            let variable = Node::text(text);
            let in_file = Node { at: Position { line: 1, column: 1 }, ..variable.clone() };
            (boolean(&variable).ok(), boolean(&in_file).ok())
        };
        for (word, value) in [("1", true), ("t", true), ("T", true), ("0", false), ("f", false), ("F", false)] {
            assert_eq!(both(word), (Some(value), Some(value)), "{word}");
        }
        for (word, value) in [("true", true), ("True", true), ("TRUE", true), ("False", false), (" false ", false)] {
            assert_eq!(both(word), (Some(value), Some(value)), "{word}");
        }
        for (word, value) in [("yes", true), ("Yes", true), ("ON", true), ("no", false), ("Off", false), ("n", false)] {
            assert_eq!(both(word), (None, Some(value)), "{word}");
        }
        for word in ["", "tRUE", "yEs", "2", "perhaps"] {
            assert_eq!(both(word), (None, None), "{word}");
        }
    }

    #[test]
    fn sets_of_ports() {
        let ports: Ports = "80, 443,8000-8999".parse().unwrap();
        assert_eq!(ports.to_string(), "80,443,8000-8999");
        assert!(ports.contains(8500) && ports.contains(80) && !ports.contains(81));
        assert_eq!(ports.single(), None);
        assert_eq!("8080".parse::<Ports>().unwrap().single(), Some(8080));
        for wrong in ["", "0", "65536", "9-8", "a", "80,", "8000-", "-1", "1-2-3"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
    }
}
