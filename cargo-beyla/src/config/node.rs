//! What a configuration file says, each part with its place: YAML and TOML in one form.

use std::fmt;

/// A place in a file; both count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// A value. What kind of scalar it is depends on who asks: `8080` is a port and a name.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: the key stands there as if it did not.
    Empty,
    /// One word or many.
    Text(Text),
    /// Several values.
    List(Vec<Node>),
    /// Keys and their values.
    Map(Vec<Entry>),
}

/// A scalar.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// What it says.
    pub(super) value: String,
    /// As it is written in the file: what a `${VARIABLE}` holds is not for messages.
    pub(super) written: String,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Of the key.
    pub(super) at: Position,
    pub(super) node: Node,
}

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Node {
    /// A scalar that stands in no file.
    pub(super) fn text(text: impl Into<String>) -> Self {
        let value = text.into();
        Self { at: Position::default(), value: Value::Text(Text { written: value.clone(), value }) }
    }

    /// Whether it stands in a file, and not in a variable.
    pub(super) fn is_in_file(&self) -> bool {
        self.at != Position::default()
    }

    /// Something is wrong here.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong { at: self.at, message: message.into(), hint: None }
    }

    /// Something else was expected here.
    pub(super) fn expected(&self, expected: impl fmt::Display) -> Wrong {
        self.wrong(format!("expected {expected}, found {self}"))
    }
}

/// The longest text that a message quotes, in characters.
const QUOTED_MAX: usize = 60;

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Empty => formatter.write_str("nothing"),
            Value::Text(text) => {
                let quoted: String = text.written.chars().take(QUOTED_MAX).collect();
                let rest = if quoted.len() < text.written.len() { "..." } else { "" };
                write!(formatter, "'{}{rest}'", quoted.escape_debug())
            }
            Value::List(_) => formatter.write_str("a list"),
            Value::Map(_) => formatter.write_str("a section"),
        }
    }
}

/// Whether a key of a file is the one meant; `-` and `_` are the same.
pub(super) fn is_key(written: &str, key: &str) -> bool {
    written == key || written.replace('-', "_") == key
}
