//! YAML -> [`Node`]. The parser yields events with their places; here they become a tree of bounded size.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::node::{Entry, Node, Position, Text, Value, Wrong};

/// The largest file that is read, in bytes.
pub(super) const SIZE_MAX: u64 = 1024 * 1024;

/// How deep lists and sections may be nested.
const DEPTH_MAX: usize = 32;

/// How many values there may be, those that aliases repeat included: some lines of aliases of aliases make
/// billions.
const NODES_MAX: usize = 5_000;

/// Reads a document; `variable` returns what a `${VARIABLE}` stands for.
pub(super) fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Node, Wrong> {
    let mut tree = Tree { open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0, variable: &variable };
    // Some editors put it there.
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Wrong {
            at: position(*error.marker()),
            message: format!("this is not YAML: {}", error.info()),
            hint: None,
        })?;
        tree.take(event, position(span.start))?;
    }
    Ok(tree.root.unwrap_or(Node { at: Position { line: 1, column: 1 }, value: Value::Empty }))
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// A list or section whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)> },
}

struct Tree<'a> {
    open: Vec<Open>,
    /// The values that aliases repeat, and how many nodes each is.
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    nodes: usize,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Wrong> {
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let node = Node { at, value: self.scalar(&value, style, at)? };
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(at, anchor, Kind::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(at, anchor, Kind::Map { entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, anchor, kind }) = self.open.pop() else { return Ok(()) };
                let value = match kind {
                    Kind::List(nodes) => Value::List(nodes),
                    Kind::Map { entries, .. } => Value::Map(entries),
                };
                self.close(Node { at, value }, anchor)
            }
            Event::Alias(anchor) => {
                let wrong = || Wrong { at, message: "this alias refers to what contains it".into(), hint: None };
                let (node, nodes) = self.anchors.get(&anchor).ok_or_else(wrong)?;
                // Counted before they are copied.
                let nodes = *nodes;
                if self.nodes + nodes > NODES_MAX {
                    return Err(too_many(at));
                }
                let node = node.clone();
                self.nodes += nodes;
                self.put(node)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Wrong { at, message: "expected one document, found a second".into(), hint: None })
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn scalar(&self, written: &str, style: ScalarStyle, at: Position) -> Result<Value, Wrong> {
        let plain = style == ScalarStyle::Plain;
        if plain && matches!(written, "" | "~" | "null" | "Null" | "NULL") {
            return Ok(Value::Empty);
        }
        let value = substitute(written, self.variable).map_err(|Unclosed| Wrong {
            at,
            message: "a `${` without its `}` stands here".into(),
            hint: Some("close it, or write `$${` for the characters themselves".into()),
        })?;
        if plain && value.is_empty() {
            return Ok(Value::Empty);
        }
        Ok(Value::Text(Text { value, written: written.to_owned() }))
    }

    fn begin(&mut self, at: Position, anchor: usize, kind: Kind) -> Result<(), Wrong> {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("this is nested more than {DEPTH_MAX} levels deep");
            return Err(Wrong { at, message, hint: None });
        }
        self.open.push(Open { at, anchor, kind });
        Ok(())
    }

    /// A value is whole.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Wrong> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(too_many(node.at));
        }
        if anchor != 0 {
            let nodes = count(&node);
            if self.nodes + nodes > NODES_MAX {
                return Err(too_many(node.at));
            }
            self.nodes += nodes;
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        self.put(node)
    }

    /// Puts a value where it belongs.
    fn put(&mut self, node: Node) -> Result<(), Wrong> {
        let Some(Open { kind, .. }) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match kind {
            Kind::List(nodes) => nodes.push(node),
            Kind::Map { entries, key } => {
                if let Some((key, at)) = key.take() {
                    entries.push(Entry { key, at, node });
                    return Ok(());
                }
                let Value::Text(Text { written, .. }) = &node.value else {
                    return Err(node.expected("a key"));
                };
                if entries.iter().any(|entry| entry.key == *written) {
                    return Err(node.wrong(format!("the key {node} stands here a second time")));
                }
                *key = Some((written.clone(), node.at));
            }
        }
        Ok(())
    }
}

fn too_many(at: Position) -> Wrong {
    Wrong { at, message: format!("this file has more than {NODES_MAX} values"), hint: None }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Empty | Value::Text(_) => 0,
        Value::List(nodes) => nodes.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|entry| count(&entry.node)).sum(),
    }
}

/// A `${` has no `}`.
struct Unclosed;

/// `${NAME}` and `${NAME:-otherwise}`; `$${` is `${` itself. A variable that is not set is nothing.
fn substitute(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Unclosed> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        let reference = &reference[2..];
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = reference;
            continue;
        }
        let (inner, after) = reference.split_once('}').ok_or(Unclosed)?;
        let (name, otherwise) = inner.split_once(":-").unwrap_or((inner, ""));
        if !is_name(name) {
            result.push_str(&rest[..start + 2]);
            rest = reference;
            continue;
        }
        result.push_str(before);
        let value = variable(name).filter(|value| !value.is_empty());
        result.push_str(value.as_deref().unwrap_or(otherwise));
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
