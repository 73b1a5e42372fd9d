//! Why a thread was off the CPU.

use cargo_beyla_events::{NO_SYSTEM_CALL, OffCpu};
use syscalls::Sysno;

use crate::request::explanation::Cause;

use super::clock::Part;

/// The cause of a sleep; `lock` if its stack acquires a lock.
pub(super) fn cause(off: &OffCpu, lock: bool) -> Cause {
    match off.system_call {
        NO_SYSTEM_CALL => Cause::PageFault,
        number if lock && (number < 0 || name(number).is_some_and(is_futex)) => Cause::Lock,
        ..0 => Cause::Unknown,
        number => Cause::SystemCall(number),
    }
}

/// What such a sleep is to a thread that is known to poll no task: it may well have nothing to do.
pub(super) fn of_thread(cause: Cause) -> Part {
    let Cause::SystemCall(number) = cause else {
        return Part::Blocked;
    };
    let idle = match name(number) {
        Some("epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "poll" | "ppoll" | "select" | "pselect6") => true,
        // Parked: a condition variable, a channel.
        Some(name) => name == "io_uring_enter" || is_futex(name),
        None => false,
    };
    if idle { Part::Waiting } else { Part::Blocked }
}

fn is_futex(name: &str) -> bool {
    matches!(name, "futex" | "futex_wait" | "futex_waitv")
}

fn name(system_call: i32) -> Option<&'static str> {
    usize::try_from(system_call).ok().and_then(Sysno::new).map(|known| known.name())
}

#[cfg(test)]
mod tests {
    use cargo_beyla_events::UNKNOWN_SYSTEM_CALL;

    use super::*;

    #[test]
    fn causes_and_what_they_are_to_a_thread() {
        let (epoll, futex) = (Sysno::epoll_pwait as i32, Sysno::futex as i32);
        let (sleep, read) = (Sysno::nanosleep as i32, Sysno::read as i32);
        for (system_call, lock, expected, part) in [
            (epoll, false, Cause::SystemCall(epoll), Part::Waiting),
            (futex, false, Cause::SystemCall(futex), Part::Waiting),
            (futex, true, Cause::Lock, Part::Blocked),
            (sleep, false, Cause::SystemCall(sleep), Part::Blocked),
            (read, true, Cause::SystemCall(read), Part::Blocked),
            (NO_SYSTEM_CALL, false, Cause::PageFault, Part::Blocked),
            (UNKNOWN_SYSTEM_CALL, false, Cause::Unknown, Part::Blocked),
            (UNKNOWN_SYSTEM_CALL, true, Cause::Lock, Part::Blocked),
            (i32::MIN, false, Cause::Unknown, Part::Blocked),
            (i32::MAX, false, Cause::SystemCall(i32::MAX), Part::Blocked),
        ] {
            let off = OffCpu { system_call, ..OffCpu::default() };
            let cause = cause(&off, lock);
            assert_eq!((cause, of_thread(cause)), (expected, part), "{system_call} {lock}");
        }
    }
}
