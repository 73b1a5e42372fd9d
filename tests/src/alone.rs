//! Tests that measure.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time of a process: they measure, and the machine has few processors.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
