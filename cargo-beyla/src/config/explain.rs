//! How much is opened of what requests waited for: `--explain`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::node::{Node, Wrong};
use super::values::{boolean, choice};

/// How much is opened of what requests waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Explain {
    /// Every request, by what the scheduler and the sampler see; and by probes on the async runtime as long as these cost
    /// little.
    Auto,
    /// Every request, by probes on the async runtime all the time.
    Always,
    /// None.
    Never,
}

impl Explain {
    const WORDS: &[(&str, Self)] = &[("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];

    /// Its word.
    pub fn word(self) -> &'static str {
        super::values::word(Self::WORDS, &self)
    }

    /// Whether anything is opened.
    pub fn is_wanted(self) -> bool {
        self != Self::Never
    }

    /// A word; `true` is [`Self::Always`] and `false` [`Self::Never`].
    pub(super) fn parse(node: &Node) -> Result<Self, Wrong> {
        match boolean(node) {
            Ok(true) => Ok(Self::Always),
            Ok(false) => Ok(Self::Never),
            Err(_) => choice(node, Self::WORDS),
        }
    }
}
