//! What `--explain` has shown, in words: shared by the terminal and the JSON report.

pub(super) mod cure;
pub(super) mod place;
pub(super) mod sentence;
