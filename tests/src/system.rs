//! What the system knows of processes and of BPF programs.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A TCP port that nobody has, for what cannot be told to take any.
///
/// It lies below those that the kernel hands out by itself, so that no connection and no listener of another test has it
/// before it is used; and no two callers get the same. Where they begin depends on the process, for those that run
/// beside it.
pub fn free_port() -> u16 {
    const PORTS: u32 = 8192;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("the kernel's own ports");
    let first: u32 = range.split_whitespace().next().and_then(|port| port.parse().ok()).expect("a port");
    assert!(first > PORTS + 1024, "the kernel hands out ports from {first} on: below, there is no room");
    let start = std::process::id().wrapping_mul(61);
    let candidates = (0..PORTS).map(|_| start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS);
    let mut ports = candidates.map(|offset| (first - PORTS + offset) as u16);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("one of them is free")
}

/// The processes below `pid`, children of children too.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, stat(child)?.parent)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// Of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// `Z` is a process that has ended.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// CPU time in clock ticks, user and system.
    pub ticks: u64,
}

/// `None` if there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, but this is its last parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some(Stat { state: fields.first()?.chars().next()?, parent: number(1)? as u32, ticks: number(11)? + number(12)? })
}

/// Whether the process runs; one that has ended and that nobody asked after does not.
pub fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// How long the threads of a process have waited for a CPU, as the scheduler itself counts it.
pub fn waited_for_cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let waited = tasks.map(|task| {
        let path = task.expect("a thread").path().join("schedstat");
        let text = fs::read_to_string(path).expect("the kernel counts (CONFIG_SCHED_INFO)");
        text.split_whitespace().nth(1).and_then(|ns| ns.parse::<u64>().ok()).expect("a number of nanoseconds")
    });
    Duration::from_nanos(waited.sum())
}

/// Time for which all CPUs together did not run because their own machine had others to run, as its hypervisor tells.
fn stolen_from_cpus() -> Duration {
    let text = fs::read_to_string("/proc/stat").expect("/proc");
    let all = text.lines().next().expect("the line of all CPUs");
    let ticks: u64 = all.split_whitespace().nth(8).and_then(|field| field.parse().ok()).expect("the ticks of steal");
    // The kernel counts it in hundredths of a second on every architecture.
    Duration::from_millis(ticks * 10)
}

/// What a process has had to leave to others since a moment, by the kernel's own counts.
pub struct Taken {
    pid: u32,
    before: Duration,
}

impl Taken {
    /// From now on.
    pub fn from(pid: u32) -> Self {
        Self { pid, before: Self::count(pid) }
    }

    /// How long its threads have waited for a CPU, and its CPUs for theirs. Ask before threads end: nobody counts what
    /// those have waited.
    pub fn so_far(&self) -> Duration {
        Self::count(self.pid).checked_sub(self.before).expect("it has as many threads as before")
    }

    fn count(pid: u32) -> Duration {
        waited_for_cpu(pid) + stolen_from_cpus()
    }
}

/// The command line of a process.
pub fn command_line(pid: u32) -> String {
    fs::read(format!("/proc/{pid}/cmdline"))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .unwrap_or_default()
}

/// The ids of the BPF programs that a process holds, by themselves or by links.
pub fn programs_held_by(pid: u32) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return BTreeSet::new() };
    entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|info| field(&info, "prog_id")?.try_into().ok())
        .collect()
}

/// A program that the kernel has loaded.
#[derive(Clone, Debug)]
pub struct LoadedProgram {
    /// Its id.
    pub id: u32,
    /// As its object names it, cut to 15 bytes.
    pub name: String,
    /// Time that it ran, counted while `kernel.bpf_stats_enabled` is 1.
    pub run_time_ns: u64,
    /// How often it ran, counted likewise.
    pub runs: u64,
}

/// All programs that the kernel has loaded.
pub fn loaded_programs() -> Vec<LoadedProgram> {
    aya::programs::loaded_programs()
        // Between the list and the look another's program may go away.
        .filter_map(Result::ok)
        .filter_map(|program| {
            let fd = program.fd().ok()?;
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
            Some(LoadedProgram {
                id: program.id(),
                name: program.name_as_str().unwrap_or_default().to_owned(),
                run_time_ns: field(&info, "run_time_ns")?,
                runs: field(&info, "run_cnt")?,
            })
        })
        .collect()
}

/// A number behind a name and a colon, as `/proc` writes them.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
