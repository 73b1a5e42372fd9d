//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use super::node::Position;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// The file of `--config`.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Where in it.
        at: Position,
    },
    /// The metadata of a Cargo.toml.
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Where in it.
        at: Position,
        /// `package.metadata.beyla` or `workspace.metadata.beyla`.
        table: &'static str,
    },
    /// Nobody has said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "flag {name}"),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::File { path, at } => write!(formatter, "{}:{at}", path.display()),
            Self::Manifest { path, at, table } => write!(formatter, "{}:{at} ({table})", path.display()),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// A value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Setting<T> {
    /// A value that nobody has set.
    pub fn default_of(value: T) -> Self {
        Self { value, source: Source::Default }
    }

    /// A value that a flag has set, if it was given.
    pub(super) fn of_flag(name: &'static str, value: Option<T>) -> Option<Self> {
        value.map(|value| Self { value, source: Source::Flag(name) })
    }

    /// The same source, another value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), source: self.source }
    }
}
