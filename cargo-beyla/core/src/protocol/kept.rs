//! Bytes of a message that is not whole yet.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes that may hold a secret until they have been read: no output shows them.
#[derive(Clone, Default)]
pub(super) struct Kept(pub(super) Vec<u8>);

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Deref for Kept {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Kept {
    /// Adds bytes as long as there is room for so many in all.
    pub(super) fn add(&mut self, bytes: &[u8], most: usize) {
        let room = most.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
