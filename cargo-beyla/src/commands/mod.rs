//! One file a subcommand; each reads as the sentence that describes it.

pub mod dispatch;
