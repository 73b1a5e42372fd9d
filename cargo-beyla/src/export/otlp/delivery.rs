//! A message is sent again and again until it is taken, refused for good, or there is no time left.
//!
//! By the OTLP specification: what may be tried again is, after the time that the receiver asks for, or
//! with growing, jittered pauses. A message that was taken is never sent a second time. Where a connection
//! breaks before the answer, or the answer does not come in time, nobody knows whether it was; the
//! specification has it sent again, and receivers tell the spans of a second copy by their ids.
//!
//! While the run goes on, there is no reason to give a message up: what waits behind it is bounded. Once
//! it is over, the user waits. A receiver that cannot be reached at all has one more try then, any other
//! has until the deadline.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::attempt::Attempts;
use super::failure::{Failure, Remedy};
use super::receiver::Receiver;
use super::signal::{Rejected, Signal};

/// Of a message whose answer has not come by then.
const NO_ANSWER: &str = "no answer until the end";

/// Why something is not sent that the user did not wait for.
const INTERRUPTED: &str = "interrupted";

/// The first pause, which a random part of it is added to.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest pause once the run is over, when the user waits.
const PAUSE_MAX_AT_END: Duration = Duration::from_secs(1);

/// The end, once the run is over; the user may then have it come sooner.
pub(in crate::export) type Ending = watch::Receiver<Option<End>>;

/// How the time ends that there is for what is left.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct End {
    pub(in crate::export) deadline: Instant,
    /// Whether the user does not want to wait.
    pub(in crate::export) is_interrupt: bool,
}

/// Sends messages to one receiver, one after the other.
#[derive(Debug)]
pub(in crate::export) struct Delivery {
    receiver: Receiver,
    attempts: Result<Attempts, Failure>,
    ending: Ending,
    trouble: Trouble,
}

/// Why nothing is taken at present, if that is so.
pub(in crate::export) type Trouble = Rc<RefCell<Option<String>>>;

/// What became of a message that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::export) enum NotDelivered {
    /// The receiver does not want it; it may want the next.
    Refused(String),
    /// There is no time left, for those that follow either.
    GivenUp(String),
}

impl Delivery {
    /// To be called in the runtime that it is used in.
    pub(in crate::export) fn new(receiver: Receiver, ending: Ending) -> Self {
        Self { attempts: Attempts::new(&receiver), receiver, ending, trouble: Trouble::default() }
    }

    /// Sends a message.
    pub(in crate::export) async fn deliver<S: Signal>(&mut self, message: &S) -> Result<Rejected, NotDelivered> {
        let mut pauses = pauses();
        let mut last_try = false;
        loop {
            let failure = match self.attempt(message).await {
                Ok(rejected) => {
                    self.trouble.take();
                    return Ok(rejected);
                }
                Err(failure) => failure,
            };
            self.trouble.replace(Some(failure.reason.clone()));
            let until = match failure.remedy {
                Remedy::None => return Err(NotDelivered::Refused(failure.reason)),
                Remedy::Reconnect if last_try => return Err(self.given_up(failure.reason)),
                // A receiver that asks for its time has all of it; others are looked after when it ends.
                Remedy::Retry(Some(asked)) => Pause { until: Instant::now() + asked, is_asked: true },
                Remedy::Retry(None) | Remedy::Reconnect => {
                    let longest = if self.ending.borrow().is_some() { PAUSE_MAX_AT_END } else { PAUSE_MAX };
                    let pause = pauses.next().unwrap_or(PAUSE_MAX).min(longest);
                    Pause { until: Instant::now() + pause, is_asked: false }
                }
            };
            if !self.pause(until).await {
                return Err(self.given_up(failure.reason));
            }
            last_try = failure.remedy == Remedy::Reconnect && self.ending.borrow().is_some();
        }
    }

    fn given_up(&self, reason: String) -> NotDelivered {
        let is_interrupt = self.ending.borrow().is_some_and(|end| end.is_interrupt);
        NotDelivered::GivenUp(match reason.as_str() {
            NO_ANSWER if is_interrupt => INTERRUPTED.to_owned(),
            _ if is_interrupt => format!("{INTERRUPTED} ({reason})"),
            _ => reason,
        })
    }

    /// Why nothing is taken at present, from now on.
    pub(in crate::export) fn trouble(&self) -> Trouble {
        Rc::clone(&self.trouble)
    }

    /// Where to.
    pub(in crate::export) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// One attempt, which the deadline cuts short.
    async fn attempt<S: Signal>(&mut self, message: &S) -> Result<Rejected, Failure> {
        let attempts = self.attempts.clone()?;
        let sent = attempts.send(message, &self.receiver);
        tokio::pin!(sent);
        let mut ending = self.ending.clone();
        tokio::select! {
            biased;
            answer = &mut sent => answer,
            () = over(&mut ending) => {
                let trouble = self.trouble.borrow();
                Err(Failure::new(trouble.as_deref().unwrap_or(NO_ANSWER), Remedy::Retry(None)))
            }
        }
    }

    /// Waits; or not, if there is no time left.
    async fn pause(&mut self, pause: Pause) -> bool {
        let mut ending = self.ending.clone();
        if ending.borrow_and_update().is_none() {
            tokio::select! {
                () = sleep_until(pause.until) => return true,
                deadline = deadline(&mut ending) => {
                    if !pause.is_asked {
                        return Instant::now() < deadline;
                    }
                }
            }
        }
        let end = *ending.borrow();
        if end.is_some_and(|end| pause.until >= end.deadline) {
            return false;
        }
        tokio::select! {
            () = sleep_until(pause.until) => true,
            () = over(&mut ending) => false,
        }
    }
}

/// The time between two attempts.
struct Pause {
    until: Instant,
    /// By the receiver.
    is_asked: bool,
}

/// Waits until the run is over, and tells the deadline that there is then.
async fn deadline(ending: &mut Ending) -> Instant {
    // If the sender is gone, nobody is left to wait for us.
    let end = ending.wait_for(Option::is_some).await.ok().and_then(|end| *end);
    end.map_or_else(Instant::now, |end| end.deadline)
}

/// Waits until the deadline, which may still be moved.
async fn over(ending: &mut Ending) {
    loop {
        let deadline = deadline(ending).await;
        tokio::select! {
            () = sleep_until(deadline) => return,
            moved = ending.changed() => {
                if moved.is_err() {
                    return;
                }
            }
        }
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
