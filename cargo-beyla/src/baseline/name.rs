//! What baselines are called.

use crate::error::Error;

/// The longest name.
const LENGTH_MAX: usize = 64;

/// A name that is a file's as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name that `flag` was given.
    pub fn new(flag: &'static str, text: &str) -> Result<Self, Error> {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > LENGTH_MAX || text.starts_with('.') || !text.chars().all(fit) {
            let quoted: String = text.chars().take(LENGTH_MAX).collect();
            return Err(Error::Config {
                place: format!("flag {flag}"),
                message: format!("'{}' is not a name for a baseline", quoted.escape_debug()),
                hint: Some(format!(
                    "up to {LENGTH_MAX} letters, digits, `-`, `_` and `.`, the last not at its beginning"
                )),
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for good in ["main", "v1.2.3", "feature_x-2"] {
            assert_eq!(Name::new("--baseline", good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "../x", "a\\b", "a b", "a\0", "ü", &"a".repeat(65)] {
            assert_eq!(Name::new("--baseline", bad).unwrap_err().exit_code(), crate::error::USAGE, "{bad}");
        }
    }
}
