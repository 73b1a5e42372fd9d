//! The variables of the environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The variables of the environment. As OpenTelemetry wants it, an empty variable counts as not set.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// What a variable holds, whatever that is.
    pub(super) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// What a variable holds, if that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str()
    }

    /// The variable that is set of those that mean the same: `BEYLA_...` or, as OBI calls it, `OTEL_EBPF_...`.
    pub(super) fn either(&self, name: &str) -> Option<(String, &OsStr)> {
        let found = self.raw(name).map(|value| (name.to_owned(), value));
        found.or_else(|| {
            let name = format!("OTEL_EBPF_{}", name.strip_prefix("BEYLA_")?);
            let value = self.raw(&name)?;
            Some((name, value))
        })
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
