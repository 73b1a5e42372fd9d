//! Prepared statements and portals by their names.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::protocol::statement::Statement;

/// The names that are remembered of one connection; the oldest is forgotten first. Clients keep some 100.
const NAMES_MAX: usize = 512;

/// What names stand for. What is unknown was made before anybody watched, or is forgotten.
#[derive(Debug, Default)]
pub(super) struct Names {
    statements: HashMap<Box<[u8]>, Arc<Statement>>,
    /// In the order in which they came.
    order: VecDeque<Box<[u8]>>,
}

impl Names {
    /// The name stands for this statement from here on; `None` if it is not known for which.
    pub(super) fn set(&mut self, name: &[u8], statement: Option<Arc<Statement>>) {
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
        self.statements.insert(name.into(), statement);
        self.order.push_back(name.into());
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Statement>> {
        self.statements.get(name).cloned()
    }

    fn remove(&mut self, name: &[u8]) {
        if self.statements.remove(name).is_some() {
            self.order.retain(|known| **known != *name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_name_is_forgotten_first() {
        let mut names = Names::default();
        let statement = Arc::new(Statement::read(b"SELECT 1"));
        for number in 0..=NAMES_MAX {
            names.set(number.to_string().as_bytes(), Some(Arc::clone(&statement)));
        }
        assert_eq!((names.get(b"0"), names.get(b"1").is_some(), names.order.len()), (None, true, NAMES_MAX));
        let other = Arc::new(Statement::read(b"SELECT 2 FROM t"));
        names.set(b"1", Some(Arc::clone(&other)));
        assert_eq!((names.get(b"1"), names.order.len()), (Some(other), NAMES_MAX));
        names.set(b"1", None);
        assert_eq!((names.get(b"1"), names.order.len(), names.statements.len()), (None, NAMES_MAX - 1, NAMES_MAX - 1));
    }
}
