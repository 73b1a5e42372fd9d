//! The keys that processes have set up, until each has proved on a record which connection it belongs to.

use std::collections::VecDeque;

use cargo_beyla_events::library;
use hashbrown::HashMap;

use super::key::TrafficKey;
use super::record::Payload;
use crate::event::Key;

/// The keys of one process that wait at most, the newest. A connection sets up four at most before its first record.
const WAITING_MAX: usize = 4096;

/// The processes that are remembered.
const PROCESSES_MAX: usize = 4096;

/// The keys that are tried on one record at a time.
const TRIALS_MAX: usize = 512;

/// The keys of all processes, and what the connections of a run have in common.
#[derive(Debug, Default)]
pub struct Keys {
    processes: HashMap<u32, Waiting>,
    /// Room for a record that is read, so that not every record needs its own.
    pub(super) scratch: Payload,
    /// Room for what was captured of a record in several pieces.
    pub(super) pieces: Vec<u8>,
}

/// The keys of one process.
#[derive(Debug, Default)]
struct Waiting {
    /// The oldest comes first.
    keys: VecDeque<Candidate>,
    /// How many there were, which is the number of the next one.
    count: u64,
}

#[derive(Debug)]
struct Candidate {
    number: u64,
    key: Key,
}

/// Which keys may be those of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) process: u32,
    /// The thread that moved the record, whose keys come first.
    pub(super) thread: u32,
    /// Those with a lower number have been tried.
    pub(super) from: u64,
    /// Bytes of the key, if they are known.
    pub(super) length: Option<usize>,
}

/// A key that has proved itself.
#[derive(Debug)]
pub(super) struct Proven<T> {
    pub(super) key: TrafficKey,
    pub(super) library: Option<&'static str>,
    /// What proved it.
    pub(super) by: T,
}

impl Keys {
    /// A process has set up a key. The process is 0 in a run that traces one.
    pub fn add(&mut self, process: u32, key: &Key) {
        if self.processes.len() >= PROCESSES_MAX && !self.processes.contains_key(&process) {
            return;
        }
        let waiting = self.processes.entry(process).or_default();
        if waiting.keys.len() >= WAITING_MAX {
            waiting.keys.pop_front();
        }
        waiting.keys.push_back(Candidate { number: waiting.count, key: key.clone() });
        waiting.count += 1;
    }

    /// A process is over, and nobody needs its keys.
    pub fn process_ended(&mut self, process: u32) {
        self.processes.remove(&process);
    }

    /// How many keys the process has set up so far.
    pub(super) fn count(&self, process: u32) -> u64 {
        self.processes.get(&process).map_or(0, |waiting| waiting.count)
    }

    /// The newest of the wanted keys for which `prove` has something, first among those of the thread. It is used up.
    pub(super) fn find<T>(
        &mut self,
        wanted: Wanted,
        mut prove: impl FnMut(&TrafficKey) -> Option<T>,
    ) -> Option<Proven<T>> {
        let waiting = self.processes.get_mut(&wanted.process)?;
        let fresh = waiting.keys.partition_point(|candidate| candidate.number < wanted.from);
        let of_thread = |is_own: bool| {
            let keys = waiting.keys.iter().enumerate().skip(fresh).rev();
            keys.filter(move |(_, candidate)| (candidate.key.thread == wanted.thread) == is_own)
        };
        let (place, proven) =
            of_thread(true).chain(of_thread(false)).take(TRIALS_MAX).find_map(|(place, candidate)| {
                lengths(&candidate.key, wanted.length).find_map(|length| {
                    let key = TrafficKey::new(candidate.key.bytes.get(..length)?)?;
                    let by = prove(&key)?;
                    Some((place, Proven { key, library: name(candidate.key.library), by }))
                })
            })?;
        waiting.keys.remove(place);
        Some(proven)
    }
}

/// How long a key may be that should be as long as this, in bytes.
fn lengths(key: &Key, wanted: Option<usize>) -> impl Iterator<Item = usize> + use<> {
    let told = Some(usize::from(key.length)).filter(|&told| told != 0);
    let is_as_long = |length: usize, as_long: Option<usize>| as_long.is_none_or(|as_long| as_long == length);
    [16, 32].into_iter().filter(move |&length| is_as_long(length, told) && is_as_long(length, wanted))
}

/// What reports call a library.
fn name(library: u8) -> Option<&'static str> {
    Some(match library {
        library::AWS_LC => "aws-lc",
        library::RING => "ring",
        library::OPENSSL => "openssl",
        library::BORINGSSL => "boringssl",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(thread: u32, first: u8, length: u8) -> Key {
        let mut bytes = [0; 32];
        bytes[0] = first;
        Key { time_ns: 0, process: 0, thread, library: library::RING, length, bytes }
    }

    /// The order in which keys are tried, by how many there are left when none fits.
    fn tried(keys: &mut Keys, wanted: Wanted) -> usize {
        let mut count = 0;
        assert!(
            keys.find(wanted, |_| -> Option<()> {
                count += 1;
                None
            })
            .is_none()
        );
        count
    }

    #[test]
    fn a_key_is_tried_in_each_length_that_it_may_have() {
        let mut keys = Keys::default();
        for length in [0, 16, 32] {
            keys.add(7, &key(1, 0, length));
        }
        let wanted = Wanted { process: 7, thread: 1, from: 0, length: None };
        assert_eq!(tried(&mut keys, wanted), 4);
        assert_eq!(tried(&mut keys, Wanted { length: Some(16), ..wanted }), 2);
        assert_eq!(tried(&mut keys, Wanted { from: 2, ..wanted }), 1);
        assert_eq!(tried(&mut keys, Wanted { process: 8, ..wanted }), 0);
    }

    #[test]
    fn a_key_that_has_proved_itself_is_used_up_and_those_of_the_thread_come_first() {
        let mut keys = Keys::default();
        let nonce = |key: &TrafficKey| {
            let mut block = [0; 16];
            key.decipher(&[0; 12], 0, &mut block);
            block
        };
        for (thread, first) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
            keys.add(0, &key(thread, first, 32));
        }
        let wanted = Wanted { process: 0, thread: 1, from: 0, length: None };
        let mut order = Vec::new();
        while let Some(proven) = keys.find(wanted, |key| Some(nonce(key))) {
            order.push(proven.by);
        }
        let expected = [3, 1, 4, 2].map(|first| nonce(&TrafficKey::new(&key(0, first, 32).bytes).expect("a key")));
        assert_eq!(order, expected);
    }

    #[test]
    fn the_oldest_leave_when_there_are_too_many() {
        let mut keys = Keys::default();
        for _ in 0..WAITING_MAX + 5 {
            keys.add(0, &key(1, 0, 16));
        }
        assert_eq!(keys.processes[&0].keys.len(), WAITING_MAX);
        assert_eq!(keys.count(0), WAITING_MAX as u64 + 5);
    }
}
