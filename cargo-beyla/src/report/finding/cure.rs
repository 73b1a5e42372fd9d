//! What usually cures a finding.

use super::place::LocatedPlace;
use cargo_beyla_core::model::call::CallKind;
use cargo_beyla_core::model::explanation::Cause;
use cargo_beyla_core::model::finding::{Finding, FindingKind};
use cargo_beyla_core::model::summary::Explained;

/// System calls on sockets, and those that wait for them.
const OF_SOCKETS: [&str; 16] = [
    "accept",
    "accept4",
    "connect",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "poll",
    "ppoll",
    "pselect6",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "select",
    "sendmmsg",
    "sendmsg",
    "sendto",
];

/// System calls that wait for another thread.
const OF_THREADS: [&str; 4] = ["futex", "futex_wait", "futex_waitv", "sched_yield"];

/// System calls that wait for another process.
const OF_PROCESSES: [&str; 2] = ["wait4", "waitid"];

/// One line of advice.
pub(in crate::report) fn cure(finding: &Finding, explained: &Explained) -> &'static str {
    match finding.kind {
        FindingKind::BlockingCall => {
            finding.place.map_or(OTHERWISE, |place| cure_of_blocking(&LocatedPlace::of(&place, explained)))
        }
        FindingKind::CpuBoundPoll => {
            "move it to tokio::task::spawn_blocking or rayon, or split it with tokio::task::yield_now().await"
        }
        FindingKind::RuntimeSaturated => "give the runtime more worker threads, or make its polls shorter",
        FindingKind::CpuSaturated => {
            "leave it more CPUs: end other processes, or run fewer threads than there are CPUs"
        }
        FindingKind::AcceptWait => {
            "accept in a task that does nothing else, and keep long polls off the runtime's workers"
        }
        FindingKind::SlowUpload => "the client or the network is slow to send, not the server; a timeout bounds it",
        FindingKind::SlowReader => "the client or the network is slow to read, not the server; a timeout bounds it",
        FindingKind::LockContention => LOCK,
        FindingKind::RepeatedCall => cure_of_repeated(finding.asked_for.as_ref().map(|asked| asked.kind)),
        FindingKind::SlowCall => {
            "make it quicker (an index, a cache), make it at the same time as other calls, or bound it with a timeout"
        }
        FindingKind::FailedConnect => "start what should listen there, or correct its address",
    }
}

const LOCK: &str = "hold the lock for a shorter time, and never across a slow call";
const SLEEP: &str = "use tokio::time::sleep, or tokio::task::spawn_blocking for calls that must block";
const OTHERWISE: &str = "use tokio::task::spawn_blocking for calls that must block; tokio::fs does so for files";

/// What takes the place of many calls of a kind.
fn cure_of_repeated(kind: Option<CallKind>) -> &'static str {
    match kind {
        Some(CallKind::Postgresql) => "one statement can do all of it (JOIN, = ANY, unnest)",
        Some(CallKind::Sqlite) => "one statement can do all of it (JOIN, IN)",
        Some(CallKind::Redis) => "MGET or a pipeline asks for all of it at once",
        _ => "ask for all of it at once, or make the calls at the same time (futures::future::try_join_all)",
    }
}

fn cure_of_blocking(located: &LocatedPlace<'_>) -> &'static str {
    let system_call = located.system_call().unwrap_or_default();
    let is_in = |calls: &[&str]| calls.contains(&&*system_call);
    // The C library and Rust's `sleep_until` sleep by one of two system calls.
    if system_call.ends_with("nanosleep") || located.call.is_some_and(|call| call.starts_with("std::thread::sleep")) {
        return SLEEP;
    }
    match located.cause {
        Cause::Lock => LOCK,
        Cause::PageFault => {
            "a page of memory had to be read: read the file in tokio::task::spawn_blocking, or leave it more memory"
        }
        // A socket is read and written by the same calls as a file; the function says which it is.
        _ if is_in(&OF_SOCKETS) || located.call.is_some_and(|call| call.contains("::net::")) => {
            "use an async client for it, or tokio::task::spawn_blocking for calls that must block"
        }
        _ if is_in(&OF_THREADS) => {
            "wait for other threads through tokio::sync, or in tokio::task::spawn_blocking; await instead of block_on"
        }
        _ if is_in(&OF_PROCESSES) => "use tokio::process, or tokio::task::spawn_blocking for calls that must block",
        _ => OTHERWISE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::model::system_call::SystemCall;
    use syscalls::Sysno;

    #[test]
    fn cures_of_blocking_calls_fit_the_call() {
        let cure = |cause, call| {
            cure_of_blocking(&LocatedPlace {
                cause,
                call,
                function: None,
                source: None,
                lacks_debug_information: false,
            })
        };
        let of = |call: Sysno| Cause::SystemCall(SystemCall::here(call.id()));
        for (cause, call, expected) in [
            (of(Sysno::clock_nanosleep), None, "tokio::time::sleep"),
            (Cause::Unknown, Some("std::thread::sleep_ms"), "tokio::time::sleep"),
            (of(Sysno::recvfrom), None, "an async client"),
            (of(Sysno::read), Some("<std::net::tcp::TcpStream as std::io::Read>::read"), "an async client"),
            (of(Sysno::read), Some("std::fs::read"), "tokio::fs"),
            (of(Sysno::fsync), None, "spawn_blocking"),
            (of(Sysno::futex), Some("std::sync::mpsc::Receiver<T>::recv"), "tokio::sync"),
            (Cause::Lock, Some("std::sync::Mutex<T>::lock"), "hold the lock"),
            (of(Sysno::wait4), None, "tokio::process"),
            (Cause::PageFault, None, "a page of memory"),
            (Cause::Unknown, None, "spawn_blocking"),
        ] {
            assert!(cure(cause, call).contains(expected), "{cause:?} {call:?}: {}", cure(cause, call));
        }
    }

    #[test]
    fn the_system_calls_exist() {
        let known: Vec<_> = Sysno::iter().map(|call| call.name()).collect();
        // aarch64 has fewer of them.
        if cfg!(target_arch = "x86_64") {
            for call in [&OF_SOCKETS[..], &OF_THREADS, &OF_PROCESSES].concat() {
                assert!(known.contains(&call), "{call}");
            }
        }
    }
}
