//! The server with tracing, and what the tool took meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use beyla_tests::run::{Build, Run};
use beyla_tests::system::{command_line, descendants, field, loaded_programs, programs_held_by, stat};

use crate::Options;
use crate::load::Load;

pub(crate) struct Traced {
    pub(crate) load: Load,
    pub(crate) helper_cpu: Duration,
    pub(crate) parent_cpu: Duration,
    pub(crate) parent_peak_kib: u64,
    pub(crate) bpf_ns: u64,
    pub(crate) bpf_runs: u64,
    pub(crate) seen: u64,
    pub(crate) lost: u64,
}

pub(crate) fn run(options: &Options, time: Duration, flags: &[String]) -> Traced {
    let mut run = Run::of(options.scenario.server(), options.capture).build(Build::Release).flags(flags);
    for (name, value) in options.scenario.environment() {
        run = run.environment(name, value);
    }
    if options.explain {
        run = run.explain();
    }
    let run = run.start();
    let parent = run.tool_pid();
    let processes = descendants(parent);
    // Behind sudo there are two of the name; the one that works is the last.
    let helper = processes.iter().copied().rfind(|pid| command_line(*pid).contains("__probe")).expect("a helper");
    let programs: BTreeSet<u32> = processes.into_iter().chain([parent]).flat_map(programs_held_by).collect();

    let before = (cpu_time(helper), cpu_time(parent), bpf(&programs));
    let load = options.scenario.saturate(run.port, time);
    let after = (cpu_time(helper), cpu_time(parent), bpf(&programs));
    let status = fs::read_to_string(format!("/proc/{parent}/status")).expect("the tool runs");
    let parent_peak_kib = field(&status, "VmHWM").expect("a peak");
    let report = run.stop();
    Traced {
        load,
        helper_cpu: after.0.saturating_sub(before.0),
        parent_cpu: after.1.saturating_sub(before.1),
        parent_peak_kib,
        bpf_ns: after.2.0 - before.2.0,
        bpf_runs: after.2.1 - before.2.1,
        seen: report.totals.requests,
        lost: report.totals.lost_events,
    }
}

fn cpu_time(pid: u32) -> Duration {
    // SAFETY: it has no conditions.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks = stat(pid).expect("the process runs").ticks;
    Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64)
}

/// Time and number of the programs' runs.
fn bpf(programs: &BTreeSet<u32>) -> (u64, u64) {
    let ours = loaded_programs().into_iter().filter(|program| programs.contains(&program.id));
    ours.fold((0, 0), |(ns, runs), program| (ns + program.run_time_ns, runs + program.runs))
}
