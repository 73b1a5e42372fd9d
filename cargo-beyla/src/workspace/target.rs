//! What `cargo run` can run: a binary or an example of a package.

/// What kind of target runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `--bin`
    Bin,
    /// `--example`
    Example,
}

impl TargetKind {
    /// The flag that names such a target.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Bin => "--bin",
            Self::Example => "--example",
        }
    }

    /// Its name in messages.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Bin => "binary",
            Self::Example => "example",
        }
    }
}

/// The target to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its package's name.
    pub package: String,
    /// Its own name.
    pub name: String,
    /// Binary or example.
    pub kind: TargetKind,
    /// If nobody named it: a sentence that says what was chosen, and why.
    pub chosen: Option<String>,
}
