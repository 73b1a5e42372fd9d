//! Why a thread was off the CPU.

use cargo_beyla_events::{NO_SYSTEM_CALL, OffCpu};

use crate::model::explanation::Cause;
use crate::model::system_call::{Architecture, SystemCall};

use super::clock::Part;

/// The cause of a sleep on this architecture; `lock` if its stack acquires a lock.
pub(super) fn cause(off: &OffCpu, lock: bool, architecture: Architecture) -> Cause {
    let call = SystemCall { architecture, number: off.system_call };
    match off.system_call {
        NO_SYSTEM_CALL => Cause::PageFault,
        number if lock && (number < 0 || call.name().is_some_and(is_futex)) => Cause::Lock,
        ..0 => Cause::Unknown,
        _ => Cause::SystemCall(call),
    }
}

/// What such a sleep is to a thread that is known to poll no task: it may well have nothing to do.
pub(super) fn of_thread(cause: Cause) -> Part {
    let Cause::SystemCall(call) = cause else {
        return Part::Blocked;
    };
    let idle = match call.name() {
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

#[cfg(test)]
mod tests {
    use cargo_beyla_events::UNKNOWN_SYSTEM_CALL;

    use super::*;

    /// On each architecture with its numbers of `epoll_pwait`, `futex`, `nanosleep` and `read`.
    #[test]
    fn causes_and_what_they_are_to_a_thread() {
        for (architecture, [epoll, futex, sleep, read]) in
            [(Architecture::X86_64, [281, 202, 35, 0]), (Architecture::Aarch64, [22, 98, 101, 63])]
        {
            let call = |number| Cause::SystemCall(SystemCall { architecture, number });
            for (system_call, lock, expected, part) in [
                (epoll, false, call(epoll), Part::Waiting),
                (futex, false, call(futex), Part::Waiting),
                (futex, true, Cause::Lock, Part::Blocked),
                (sleep, false, call(sleep), Part::Blocked),
                (read, true, call(read), Part::Blocked),
                (NO_SYSTEM_CALL, false, Cause::PageFault, Part::Blocked),
                (UNKNOWN_SYSTEM_CALL, false, Cause::Unknown, Part::Blocked),
                (UNKNOWN_SYSTEM_CALL, true, Cause::Lock, Part::Blocked),
                (i32::MIN, false, Cause::Unknown, Part::Blocked),
                (i32::MAX, false, call(i32::MAX), Part::Blocked),
            ] {
                let off = OffCpu { system_call, ..OffCpu::default() };
                let cause = cause(&off, lock, architecture);
                assert_eq!((cause, of_thread(cause)), (expected, part), "{architecture:?} {system_call} {lock}");
            }
        }
    }
}
