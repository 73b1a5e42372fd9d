//! The standard streams that we write to: all of it arrives, and one place decides on escape codes.

pub mod color;
pub mod status;
pub mod stream;
pub(crate) mod wrap;
