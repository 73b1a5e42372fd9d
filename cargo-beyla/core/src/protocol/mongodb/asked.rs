//! Commands: what is kept of each.

use std::borrow::Cow;

use super::bson::{Element, elements};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The number of the message.
    pub(super) number: u32,
    /// The name of the command; empty if it is not known.
    name: String,
    /// The collection that it is about.
    collection: Option<String>,
}

/// What is asked for in a message that cannot be read.
const UNKNOWN: &str = "COMMAND";

/// No name of a command is longer, in bytes.
const NAME_MAX: usize = 64;

/// The longest names of collections that are shown, in bytes: the most that MongoDB allows with the database's.
const COLLECTION_MAX: usize = 255;

/// Commands that open a connection or watch a server.
const OPENING: [&str; 7] = ["hello", "isMaster", "ismaster", "saslStart", "saslContinue", "authenticate", "getnonce"];

/// Commands whose first value is the name of a collection.
const ON_A_COLLECTION: [&str; 19] = [
    "find",
    "insert",
    "update",
    "delete",
    "aggregate",
    "count",
    "distinct",
    "findAndModify",
    "findandmodify",
    "create",
    "drop",
    "createIndexes",
    "dropIndexes",
    "deleteIndexes",
    "listIndexes",
    "collMod",
    "collStats",
    "mapReduce",
    "validate",
];

/// Commands that change as many documents as their answers say.
const CHANGES: [&str; 3] = ["insert", "update", "delete"];

impl Asked {
    /// The command of a document, which is its first element.
    pub(super) fn of(number: u32, document: &[u8]) -> Self {
        let first = elements(document).next();
        let is_name = |name: &[u8]| name.len() <= NAME_MAX && name.iter().all(u8::is_ascii_alphanumeric);
        let Some(first) = first.filter(|first| is_name(first.key)) else { return Self::unknown(number) };
        let name = String::from_utf8_lossy(first.key).into_owned();
        let collection = match &*name {
            "getMore" => elements(document).find(|element| element.key == b"collection").as_ref().and_then(collection),
            _ if ON_A_COLLECTION.contains(&&*name) => collection(&first),
            _ => None,
        };
        Self { number, name, collection }
    }

    /// A command that cannot be read.
    pub(super) fn unknown(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// Whether it belongs to the connection itself.
    pub(super) fn is_opening(&self) -> bool {
        OPENING.contains(&&*self.name)
    }

    /// Whether the answer says how many documents it has changed.
    pub(super) fn changes(&self) -> bool {
        CHANGES.contains(&&*self.name)
    }

    pub(super) fn summary(&self) -> Cow<'_, str> {
        match &self.collection {
            _ if self.name.is_empty() => Cow::Borrowed(UNKNOWN),
            Some(collection) => Cow::Owned(format!("{} {collection}", self.name)),
            None => Cow::Borrowed(&self.name),
        }
    }
}

/// The name of a collection.
fn collection(element: &Element<'_>) -> Option<String> {
    let name = element.string().filter(|name| !name.is_empty() && name.len() <= COLLECTION_MAX)?;
    let is_shown = |byte: &u8| byte.is_ascii_graphic() || !byte.is_ascii();
    name.iter().all(is_shown).then(|| String::from_utf8_lossy(name).into_owned())
}
