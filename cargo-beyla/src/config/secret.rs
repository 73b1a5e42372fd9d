//! What must not be read over a shoulder or in a log.

use std::fmt;

/// What is shown in the place of a secret.
const MASK: &str = "********";

/// A text that is sent where it belongs and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_nowhere() {
        let secret = Secret::new("glc_abc");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)), "******** ******** Some(\n    ********,\n)");
        assert_eq!(secret.reveal(), "glc_abc");
    }
}
