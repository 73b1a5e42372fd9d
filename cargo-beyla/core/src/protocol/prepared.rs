//! Prepared statements by their names or numbers.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;

use super::statement::Statement;

/// The names that are remembered of one connection; the oldest is forgotten first. Clients keep some 100.
const NAMES_MAX: usize = 512;

/// What names stand for. What is unknown was made before anybody watched, or is forgotten.
#[derive(Debug)]
pub(super) struct Prepared<K> {
    statements: HashMap<K, Arc<Statement>>,
    /// In the order in which they came.
    order: VecDeque<K>,
}

impl<K> Default for Prepared<K> {
    fn default() -> Self {
        Self { statements: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash> Prepared<K> {
    /// The name stands for this statement from here on; `None` if it is not known for which.
    pub(super) fn set<N>(&mut self, name: &N, statement: Option<Arc<Statement>>)
    where
        K: Borrow<N>,
        N: ToOwned<Owned = K> + Eq + Hash + ?Sized,
    {
        let Some(statement) = statement else { return self.remove(name) };
        if let Some(known) = self.statements.get_mut(name) {
            *known = statement;
            return;
        }
        if self.order.len() >= NAMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.statements.remove(&oldest);
        }
        self.statements.insert(name.to_owned(), statement);
        self.order.push_back(name.to_owned());
    }

    pub(super) fn get<N>(&self, name: &N) -> Option<Arc<Statement>>
    where
        K: Borrow<N>,
        N: Eq + Hash + ?Sized,
    {
        self.statements.get(name).cloned()
    }

    fn remove<N>(&mut self, name: &N)
    where
        K: Borrow<N>,
        N: Eq + Hash + ?Sized,
    {
        if self.statements.remove(name).is_some() {
            self.order.retain(|known| known.borrow() != name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_name_is_forgotten_first() {
        let mut names = Prepared::<Vec<u8>>::default();
        let statement = Arc::new(Statement::read(b"SELECT 1"));
        for number in 0..=NAMES_MAX {
            names.set(number.to_string().as_bytes(), Some(Arc::clone(&statement)));
        }
        assert_eq!((names.get(&b"0"[..]), names.get(&b"1"[..]).is_some(), names.order.len()), (None, true, NAMES_MAX));
        let other = Arc::new(Statement::read(b"SELECT 2 FROM t"));
        names.set(&b"1"[..], Some(Arc::clone(&other)));
        assert_eq!((names.get(&b"1"[..]), names.order.len()), (Some(other), NAMES_MAX));
        names.set(&b"1"[..], None);
        assert_eq!(
            (names.get(&b"1"[..]), names.order.len(), names.statements.len()),
            (None, NAMES_MAX - 1, NAMES_MAX - 1)
        );
    }
}
