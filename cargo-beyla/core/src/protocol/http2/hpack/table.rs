//! The fields that an encoder refers to by their index: RFC 7541, section 2.3.

use std::collections::VecDeque;

use super::Field;
use super::static_table::FIELDS;

/// What a table holds until the encoder says otherwise, in bytes: RFC 9113, section 6.5.2.
const SIZE_INITIAL: usize = 4096;

/// No table holds more, in bytes, even if its two ends agreed on it. Browsers agree on this much.
pub(super) const SIZE_MAX: usize = 64 * 1024;

/// What an entry counts beside its name and value, in bytes: section 4.1.
const OVERHEAD: usize = 32;

/// The static table and the dynamic one behind it.
#[derive(Debug)]
pub(super) struct Table {
    /// The dynamic table, the newest first.
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

#[derive(Debug)]
struct Entry {
    /// `None` if it was itself taken from an entry that is not known.
    name: Option<Box<[u8]>>,
    value: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        self.name.as_ref().map_or(0, |name| name.len()) + self.value.len() + OVERHEAD
    }
}

impl Table {
    /// The table of an encoder that is seen from its beginning.
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max: SIZE_INITIAL }
    }

    /// The table of an encoder that has added and removed entries unseen. An index counts from the newest entry, so
    /// those that it adds from here on are known by theirs. It may hold more than a new table does.
    pub(super) fn unknown() -> Self {
        Self { size_max: SIZE_MAX, ..Self::new() }
    }

    /// The field at an index; `None` if there is none, or none that is known. Of one that is, the name may not be.
    pub(super) fn get(&self, index: usize) -> Option<Field<'_>> {
        let at = index.checked_sub(1)?;
        if let Some((name, value)) = FIELDS.get(at) {
            return Some(Field { name: Some(name.as_bytes()), value: Some(value.as_bytes()) });
        }
        let entry = self.entries.get(at - FIELDS.len())?;
        Some(Field { name: entry.name.as_deref(), value: Some(&entry.value) })
    }

    /// Adds an entry: section 4.4. One that is larger than the table empties it.
    pub(super) fn add(&mut self, name: Option<&[u8]>, value: &[u8]) {
        let size = name.map_or(0, <[u8]>::len) + value.len() + OVERHEAD;
        self.evict(self.size_max.saturating_sub(size));
        if size <= self.size_max {
            self.size += size;
            self.entries.push_front(Entry { name: name.map(Into::into), value: value.into() });
        }
    }

    /// The encoder says how much the table may hold from here on: section 4.3.
    pub(super) fn resize(&mut self, size_max: usize) {
        self.size_max = size_max.min(SIZE_MAX);
        self.evict(self.size_max);
    }

    fn evict(&mut self, size_max: usize) {
        while self.size > size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The dynamic table as it stands in appendix C of the RFC, the newest entry first.
    #[cfg(test)]
    pub(super) fn dynamic(&self) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entry = |entry: &Entry| format!("{}: {}", text(entry.name.as_deref().unwrap_or(b"?")), text(&entry.value));
        self.entries.iter().map(entry).collect()
    }
}
