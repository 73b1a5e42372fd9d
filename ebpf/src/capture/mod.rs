//! What is captured of a call's bytes, and how it is put behind a record.

pub mod formats;
pub mod payload;
pub mod pieces;
pub mod scratch;
pub mod walks;
