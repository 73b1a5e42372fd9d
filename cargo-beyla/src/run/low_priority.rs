//! A thread that gives way to everybody else.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The nice value (`nice(2)`) of the thread. On a processor that both want, a normal thread gets about ten times its share.
const NICENESS: i32 = 10;

/// A thread of low priority that does a piece of work whenever it is given one, until it is to break off. It begins with
/// the first piece.
pub(super) struct LowPriority<T> {
    /// Does some of the work; asks after each step whether it is enough.
    step: fn(&mut T, &dyn Fn() -> bool),
    is_enough: Arc<AtomicBool>,
    thread: Option<Thread<T>>,
}

struct Thread<T> {
    give: Sender<T>,
    take: Receiver<T>,
    handle: JoinHandle<()>,
}

impl<T: Send + 'static> LowPriority<T> {
    pub(super) fn new(step: fn(&mut T, &dyn Fn() -> bool)) -> Self {
        Self { step, is_enough: Arc::default(), thread: None }
    }

    /// Gives the thread work, which it has until [`LowPriority::break_off`]. If there can be no thread, the work comes back
    /// as an error.
    pub(super) fn start(&mut self, work: T) -> Result<(), T> {
        if self.thread.is_none() {
            self.thread = self.spawn();
        }
        let Some(thread) = &self.thread else { return Err(work) };
        self.is_enough.store(false, Ordering::Relaxed);
        thread.give.send(work).map_err(|mpsc::SendError(work)| work)
    }

    /// Has the thread break off, and takes back the work that it was given, if it gives it back within this time. It has to
    /// run once more to do so, and a busy machine may let it wait.
    ///
    /// # Panics
    /// As the thread has panicked, if it has.
    pub(super) fn break_off(&mut self, within: Duration) -> Option<T> {
        self.is_enough.store(true, Ordering::Relaxed);
        match self.thread.as_ref()?.take.recv_timeout(within) {
            Ok(work) => Some(work),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                if let Some(Err(panic)) = self.thread.take().map(|thread| thread.handle.join()) {
                    resume_unwind(panic);
                }
                None
            }
        }
    }

    fn spawn(&self) -> Option<Thread<T>> {
        let (give, given) = mpsc::channel::<T>();
        let (done, take) = mpsc::channel();
        let (step, is_enough) = (self.step, self.is_enough.clone());
        let work = move || {
            // If the kernel refuses, the thread competes with the server, as the loop itself would.
            let _ = rustix::process::nice(NICENESS);
            for mut work in given {
                step(&mut work, &|| is_enough.load(Ordering::Relaxed));
                if done.send(work).is_err() {
                    return;
                }
            }
        };
        let handle = thread::Builder::new().name("analysis".to_owned()).spawn(work).ok()?;
        Some(Thread { give, take, handle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn count_up(count: &mut u64, is_enough: &dyn Fn() -> bool) {
        *count += 1;
        while !is_enough() {
            *count += 1;
        }
    }

    #[test]
    fn it_works_until_it_is_to_break_off_and_goes_on_where_it_was() {
        let mut thread = LowPriority::new(count_up);
        assert_eq!(thread.break_off(LONG), None, "it has nothing");
        let mut last = 0;
        for _ in 0..3 {
            assert_eq!(thread.start(last), Ok(()));
            let count = thread.break_off(LONG).expect("it breaks off");
            assert!(count > last, "{count}");
            last = count;
        }
    }

    #[test]
    fn what_it_panics_with_is_not_lost() {
        let mut thread = LowPriority::new(|_: &mut u8, _| panic!("no record"));
        assert_eq!(thread.start(1), Ok(()));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.break_off(LONG)));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"no record"));
    }
}
