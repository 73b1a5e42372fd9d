//! One requirement, how it stands, and what cures it.

use std::fmt;

use crate::error::Error;

/// The name of the check on privilege.
pub const PRIVILEGE: &str = "privilege";

/// How something stands, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// As it should be.
    Ok,
    /// In the way of something, or worth knowing.
    Warn,
    /// Without it there is no tracing.
    Missing,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
    /// The line that mends it.
    pub cure: Option<String>,
}

/// As a warning: what was found, and the line that mends it.
impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.found)?;
        self.cure.as_ref().map_or(Ok(()), |cure| write!(formatter, ": {cure}"))
    }
}

impl Check {
    /// All is well.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, standing: Standing::Ok, found: found.into(), cure: None }
    }

    /// The user should know of it.
    pub fn warn(name: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name, standing: Standing::Warn, found: found.into(), cure: Some(cure.into()) }
    }

    /// It keeps us from tracing.
    pub fn missing(name: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name, standing: Standing::Missing, found: found.into(), cure: Some(cure.into()) }
    }

    /// Whether it keeps us from tracing.
    pub fn is_missing(&self) -> bool {
        self.standing == Standing::Missing
    }

    /// What is missing, as an error.
    pub fn to_error(&self) -> Error {
        let Self { name, standing: _, found, cure } = self;
        let message = match *name {
            PRIVILEGE => format!("tracing needs CAP_BPF and CAP_PERFMON, and {found}"),
            name => format!("this machine cannot trace; {name}: {found}"),
        };
        Error::Lacking { message, hint: cure.clone() }
    }
}
