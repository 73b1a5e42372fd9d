//! What `--explain` has found, in words that the terminal, the JSON report and annotations share.

pub(super) mod cure;
pub(super) mod place;
pub(super) mod sentence;
