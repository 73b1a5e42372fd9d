//! `--explain=auto`: when probes on the async runtime are in place.
//!
//! Each time that a probe is hit, the server pays for a trap. As long as all traps together stay within the budget, which
//! is a share of the server's own CPU time, the probes stay. Beyond it they are taken out, for so long that the whole of
//! both times keeps the budget; then the next window opens. A window also ends where the parent cannot keep up with the
//! records of the probes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::sys::time::TimeValLike;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use procfs::process::Process;

use super::async_runtime::AsyncRuntime;
use crate::config::percent::Percent;
use crate::probe::programs::Programs;

/// A window stays open for at least this time, so that it holds whole requests.
const OPEN_MIN: Duration = Duration::from_millis(200);
/// From the end of a window until the probes are taken out: until then the parent has heard of it.
const CLOSING: Duration = Duration::from_millis(40);
/// Between two windows is at least this time, and at most that.
const CLOSED_MIN: Duration = Duration::from_secs(1);
const CLOSED_MAX: Duration = Duration::from_mins(1);
/// While a window is open and nothing is overspent, accounts begin anew that often.
const ACCOUNT: Duration = Duration::from_secs(1);
/// What a trap costs as long as that was not measured, in nanoseconds: rather too much.
const TRAP_NS: u64 = 3_000;
/// This share of a CPU may be spent on traps in any case, unless the budget is smaller: nobody feels that.
const FREE: f64 = 0.01;
/// The number of traps that are timed to learn what one costs.
const MEASURED: u32 = 500;

/// What happens to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// All probes are in place.
    Opened,
    /// They are about to be taken out.
    Closed,
}

/// The windows of a run.
pub(super) struct Windows<'a> {
    runtime: &'a AsyncRuntime,
    budget: f64,
    /// What a trap costs, in nanoseconds, once that was measured.
    trap_ns: Option<u64>,
    /// The traced process; `None` for several, whose CPU time nobody adds up: then the probes stay.
    process: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open {
        since: Instant,
        account: Account,
    },
    Closing {
        until: Instant,
        pause: Duration,
    },
    Closed {
        until: Instant,
    },
    /// There will be none: the probes cannot be attached, or may cost nothing.
    Never,
}

/// How much had been spent at a moment.
#[derive(Clone, Copy, Debug)]
struct Account {
    at: Instant,
    traps: u64,
    cpu: Duration,
    /// How often the parent lagged behind.
    behind: u64,
}

impl<'a> Windows<'a> {
    /// Opens the first window if the probes can be attached.
    pub(super) fn open(
        runtime: &'a AsyncRuntime,
        budget: Percent,
        process: Option<u32>,
        programs: &mut Programs,
    ) -> Self {
        let mut windows = Self { runtime, budget: budget.share(), trap_ns: None, process, state: State::Never };
        // Without probes, requests are opened by what the scheduler sees.
        if windows.budget <= 0.0 {
            let _ = runtime.attach_spawn_probes(programs);
        } else if runtime.attach_probes(programs).is_ok() {
            windows.state = State::Open { since: Instant::now(), account: windows.account(programs) };
        }
        windows
    }

    /// Whether a window is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Opens or closes a window, if it is time to.
    pub(super) fn look(&mut self, programs: &mut Programs) -> Option<Change> {
        let now = Instant::now();
        match self.state {
            State::Open { since, account } => {
                let spent = self.account(programs);
                let length = spent.at.saturating_duration_since(account.at);
                if spent.at.saturating_duration_since(since) < OPEN_MIN && spent.behind == account.behind {
                    return None;
                }
                let traps = spent.traps.saturating_sub(account.traps);
                let of_server = spent.cpu.saturating_sub(account.cpu).as_nanos() as f64 * self.budget;
                let allowed = of_server.max(length.as_nanos() as f64 * FREE.min(self.budget));
                let is_behind = spent.behind > account.behind;
                let mut cost = traps.saturating_mul(self.trap_ns.unwrap_or(TRAP_NS)) as f64;
                if cost > allowed && self.trap_ns.is_none() {
                    // To measure takes a tenth of a second, and most runs never need to know.
                    let measured = programs.measure_trap(MEASURED).unwrap_or(TRAP_NS);
                    self.trap_ns = Some(measured);
                    cost = traps.saturating_mul(measured) as f64;
                }
                if self.process.is_some() && (cost > allowed || is_behind) {
                    let pause = pause(length, cost, allowed);
                    self.state = State::Closing { until: now + CLOSING, pause };
                    return Some(Change::Closed);
                }
                if length >= ACCOUNT {
                    self.state = State::Open { since, account: spent };
                }
                None
            }
            State::Closing { until, pause } if now >= until => {
                // If they stay, they cost on, and nothing else is lost.
                let _ = programs.detach_poll_probes();
                self.state = State::Closed { until: now + pause };
                None
            }
            State::Closed { until } if now >= until => {
                if self.runtime.attach_probes(programs).is_err() {
                    self.state = State::Closed { until: now + CLOSED_MAX };
                    return None;
                }
                self.state = State::Open { since: Instant::now(), account: self.account(programs) };
                Some(Change::Opened)
            }
            State::Closing { .. } | State::Closed { .. } | State::Never => None,
        }
    }

    fn account(&self, programs: &Programs) -> Account {
        let cpu = self.process.and_then(cpu_time).unwrap_or_default();
        let [traps, behind] = programs.traps().unwrap_or_default();
        Account { at: Instant::now(), traps, cpu, behind }
    }
}

/// How long the probes stay out after a window of this length, in which they have cost more than was allowed.
fn pause(length: Duration, cost: f64, allowed: f64) -> Duration {
    let whole = length.as_secs_f64() * cost / allowed.max(1.0);
    Duration::from_secs_f64((whole - length.as_secs_f64()).clamp(CLOSED_MIN.as_secs_f64(), CLOSED_MAX.as_secs_f64()))
}

/// The CPU time that a process has used, all its threads together.
fn cpu_time(process: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(process).ok()?)).ok()?;
    let time = clock.now().ok()?;
    u64::try_from(time.num_nanoseconds()).ok().map(Duration::from_nanos)
}

impl Programs {
    /// What a trap costs on this machine, in nanoseconds: calls of a function of our own are timed without a probe on it
    /// and with one.
    fn measure_trap(&mut self, times: u32) -> Option<u64> {
        let without = time_calls(times);
        let with = self.with_probe_on_own(offset_in_file(probed as *const () as usize)?, || time_calls(times)).ok()?;
        let each = with.saturating_sub(without) / times;
        u64::try_from(each.as_nanos()).ok().filter(|&ns| ns > 0)
    }
}

#[inline(never)]
extern "C" fn probed(number: u32) -> u32 {
    black_box(number)
}

fn time_calls(times: u32) -> Duration {
    let begun = Instant::now();
    for number in 0..times {
        black_box(probed(black_box(number)));
    }
    begun.elapsed()
}

/// Where a function of this process stands in the file that it is mapped from.
fn offset_in_file(address: usize) -> Option<u64> {
    let maps = Process::myself().and_then(|own| own.maps()).ok()?;
    maps.into_iter().find_map(|map| {
        let (begin, end) = map.address;
        let address = address as u64;
        (begin..end).contains(&address).then(|| map.offset + (address - begin))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_makes_up_for_what_a_window_has_overspent() {
        let window = Duration::from_millis(500);
        assert_eq!(pause(window, 40.0, 4.0), Duration::from_millis(4500));
        assert_eq!(pause(window, 4.1, 4.0), CLOSED_MIN);
        assert_eq!(pause(window, 1e9, 0.0), CLOSED_MAX);
    }

    #[test]
    fn the_cpu_time_of_a_process_grows_as_it_computes() {
        let own = std::process::id();
        let before = cpu_time(own).expect("our own");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {
            black_box(0);
        }
        assert!(cpu_time(own).expect("our own") > before);
        assert_eq!(cpu_time(u32::MAX >> 4), None);
    }

    #[test]
    fn a_function_of_our_own_is_found_in_our_file() {
        let offset = offset_in_file(probed as *const () as usize).expect("it is mapped") as usize;
        let file = std::fs::read("/proc/self/exe").expect("our own file");
        // SAFETY: the function is longer than that.
        let code = unsafe { std::slice::from_raw_parts(probed as *const u8, 8) };
        assert_eq!(&file[offset..offset + 8], code);
    }
}
