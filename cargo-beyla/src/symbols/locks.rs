//! The functions in which a thread waits for a lock.

use std::ops::Range;

use memchr::memmem;

use super::functions;
use super::image::Image;
use super::names;

/// Those of the standard library, on every platform.
const STANDARD: [&str; 3] = ["lock_contended", "read_contended", "write_contended"];

/// Of `parking_lot`.
const PARKING_LOT: [&str; 5] =
    ["lock_slow", "lock_shared_slow", "lock_exclusive_slow", "lock_upgradable_slow", "upgrade_slow"];

/// Of the C library.
const PTHREAD: [&str; 6] = [
    "pthread_mutex_lock",
    "pthread_mutex_timedlock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock",
    "pthread_rwlock_timedrdlock",
    "pthread_rwlock_timedwrlock",
];

/// Where they are in an image.
pub fn find(image: &Image) -> Vec<Range<u64>> {
    let Some(elf) = image.elf() else { return Vec::new() };
    // Demangling is slow; this leaves one name in a thousand.
    let marks = [memmem::Finder::new("_contended"), memmem::Finder::new("_slow"), memmem::Finder::new("pthread_")];
    functions::each(&elf)
        .filter(|(_, _, name)| marks.iter().any(|mark| mark.find(name).is_some()))
        .filter(|(_, _, name)| std::str::from_utf8(name).is_ok_and(|name| waits_for_lock(&names::function(name))))
        .map(|(_, range, _)| range)
        .collect()
}

fn waits_for_lock(function: &str) -> bool {
    let segments = names::segments(function);
    match segments[..] {
        [only] => PTHREAD.contains(&only.trim_start_matches('_')),
        ["std", system, .., last] => system.starts_with("sys") && STANDARD.contains(&last),
        ["parking_lot", .., last] => PARKING_LOT.contains(&last),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_known_by_the_functions_that_wait() {
        for waiting in [
            "std::sys::sync::mutex::futex::Mutex::lock_contended",
            "std::sys::sync::rwlock::futex::RwLock::write_contended",
            "std::sys_common::once::lock_contended",
            "parking_lot::raw_mutex::RawMutex::lock_slow",
            "parking_lot::raw_rwlock::RawRwLock::lock_shared_slow",
            "pthread_mutex_lock",
            "__pthread_rwlock_wrlock",
        ] {
            assert!(waits_for_lock(waiting), "{waiting}");
        }
        for other in ["parking_lot::raw_mutex::RawMutex::unlock_slow", "a::lock_slow", "pthread_create", "std::a"] {
            assert!(!waits_for_lock(other), "{other}");
        }
    }
}
