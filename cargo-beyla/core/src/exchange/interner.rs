//! One copy of strings that come again and again.

use std::sync::Arc;

use hashbrown::HashSet;

/// The strings known at most.
const KNOWN_MAX: usize = 8192;

/// Longer strings hardly come again.
const LENGTH_MAX: usize = 256;

/// Shares equal strings, as many as it has room for.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    known: HashSet<Arc<str>>,
}

impl Interner {
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        if text.len() > LENGTH_MAX {
            return text.into();
        }
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        if self.known.len() >= KNOWN_MAX {
            self.make_room();
        }
        let new: Arc<str> = text.into();
        self.known.insert(Arc::clone(&new));
        new
    }

    /// Forgets what nothing else holds; or all, if that is not worth the search each time.
    fn make_room(&mut self) {
        self.known.retain(|text| Arc::strong_count(text) > 1);
        if self.known.len() > KNOWN_MAX / 2 {
            self.known.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_one_and_memory_is_bounded() {
        let mut interner = Interner::default();
        let get = interner.get("GET");
        assert!(Arc::ptr_eq(&get, &interner.get("GET")));
        let held: Vec<_> = (0..3 * KNOWN_MAX).map(|n| interner.get(&n.to_string())).collect();
        assert!(interner.known.len() <= KNOWN_MAX);
        assert_eq!(&*held[5], "5");
    }
}
