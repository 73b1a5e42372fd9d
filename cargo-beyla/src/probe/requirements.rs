//! What tracing takes of the machine. Pure, but for [`facts`].
//!
//! The doctor prints these checks, and whatever traces makes them before it begins.

pub mod check;
pub mod facts;

use self::check::Check;
use self::facts::{Btf, Facts};
use crate::error::Error;

/// The kernel that has the ring buffer.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// The kernel that tells programs the registers of threads (`bpf_task_pt_regs`).
const KERNEL_WITH_REGISTERS: (u32, u32) = (5, 15);

/// From this kernel on, BPF maps count as memory of their control group, not as locked memory.
const KERNEL_WITHOUT_MEMLOCK: (u32, u32) = (5, 11);

/// Locked memory enough for the maps.
const MEMLOCK_ENOUGH: u64 = 64 * 1024 * 1024;

/// The name of the check on `kernel.perf_event_paranoid`.
pub const PERF_EVENTS: &str = "perf events";

/// What the facts mean, but for privilege.
pub fn of_machine(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![kernel(facts), btf(facts)];
    checks.extend(bpf(facts));
    checks.extend([
        lockdown(facts),
        perf_event_paranoid(facts),
        container(facts),
        memlock(facts),
        tls(facts),
        explain(facts),
    ]);
    checks
}

/// The first of what is missing, as an error.
///
/// # Errors
/// If something is.
pub fn require(checks: &[Check]) -> Result<(), Error> {
    checks.iter().find(|check| check.is_missing()).map_or(Ok(()), |check| Err(check.to_error()))
}

/// What most likely refuses a program where all else is well.
pub fn refused(facts: &Facts) -> String {
    match facts.container {
        Some(_) => "docker run --cap-add BPF --cap-add PERFMON --security-opt seccomp=unconfined ...".into(),
        None => "look into `sudo dmesg`; a security module (SELinux, AppArmor) may have refused it".into(),
    }
}

fn kernel(facts: &Facts) -> Check {
    const NAME: &str = "kernel";
    let found = format!("Linux {} on {}", facts.kernel, facts.architecture);
    if !matches!(facts.architecture.as_str(), "x86_64" | "aarch64") {
        return Check::missing(NAME, found, "use a machine with x86_64 or aarch64");
    }
    match version(&facts.kernel) {
        Some(version) if version >= KERNEL_MIN => Check::ok(NAME, found),
        Some(_) => Check::missing(NAME, found, "use Linux 5.8 or later"),
        None => Check::warn(NAME, found, "make sure that this is Linux 5.8 or later"),
    }
}

fn tls(facts: &Facts) -> Check {
    const NAME: &str = "TLS";
    if facts.uprobes {
        Check::ok(NAME, "is read where rustls (aws-lc-rs, ring), OpenSSL or BoringSSL speak it")
    } else {
        Check::warn(NAME, "no probes in programs: it is not read", "use a kernel with CONFIG_UPROBES")
    }
}

fn explain(facts: &Facts) -> Check {
    const NAME: &str = "--explain";
    if !facts.uprobes {
        return Check::warn(
            NAME,
            "no probes in programs: tokio's tasks stay unknown",
            "use a kernel with CONFIG_UPROBES",
        );
    }
    match version(&facts.kernel) {
        Some(version) if version < KERNEL_WITH_REGISTERS => {
            Check::warn(NAME, "without the places in the code", "use Linux 5.15 or later")
        }
        _ => Check::ok(NAME, "tasks, threads and places in the code"),
    }
}

fn btf(facts: &Facts) -> Check {
    const NAME: &str = "BTF";
    match facts.btf {
        Btf::Readable => Check::ok(NAME, "/sys/kernel/btf/vmlinux"),
        Btf::Unreadable => {
            Check::missing(NAME, "/sys/kernel/btf/vmlinux cannot be read", "sudo chmod a+r /sys/kernel/btf/vmlinux")
        }
        Btf::Absent => Check::missing(
            NAME,
            "no /sys/kernel/btf/vmlinux",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of all large distributions; in \
             a container, mount /sys",
        ),
    }
}

/// Known only of a process that has tried it.
fn bpf(facts: &Facts) -> Option<Check> {
    let reason = facts.bpf_refused.as_ref()?;
    Some(Check::missing("BPF", format!("the kernel refuses the bpf system call: {reason}"), refused(facts)))
}

fn lockdown(facts: &Facts) -> Check {
    const NAME: &str = "lockdown";
    // The mode in force is the one in brackets: `none [integrity] confidentiality`.
    let mode = facts.lockdown.as_deref().and_then(|modes| {
        let (_, rest) = modes.split_once('[')?;
        Some(rest.split_once(']')?.0)
    });
    match mode {
        Some("confidentiality") => Check::missing(
            NAME,
            "confidentiality: BPF programs may not read the kernel's memory",
            "boot with lockdown=integrity, or with Secure Boot off",
        ),
        Some(mode) => Check::ok(NAME, mode),
        None => Check::ok(NAME, "none to be seen"),
    }
}

fn perf_event_paranoid(facts: &Facts) -> Check {
    const NAME: &str = PERF_EVENTS;
    match facts.perf_event_paranoid {
        // Above 2, which some distributions add, it binds even those who hold CAP_PERFMON on their
        // older kernels.
        Some(level @ 3..) if !facts.capabilities.sys_admin && facts.capabilities.perfmon => {
            Check::warn(NAME, format!("perf_event_paranoid is {level}"), "sudo sysctl kernel.perf_event_paranoid=2")
        }
        Some(level) => Check::ok(NAME, format!("perf_event_paranoid is {level}, which is in nobody's way")),
        None => Check::warn(NAME, "no perf_event_paranoid", "use a kernel built with CONFIG_PERF_EVENTS=y"),
    }
}

fn container(facts: &Facts) -> Check {
    const NAME: &str = "container";
    let namespace = match facts.pid_namespace {
        Some(true) => "a PID namespace of its own",
        Some(false) => "the machine's PID namespace",
        None => "an unknown PID namespace",
    };
    let found = match &facts.container {
        Some(kind) => format!("{kind}, in {namespace}"),
        None => format!("none, in {namespace}"),
    };
    Check::ok(NAME, found)
}

fn memlock(facts: &Facts) -> Check {
    const NAME: &str = "memory limit";
    let older = version(&facts.kernel).is_some_and(|version| version < KERNEL_WITHOUT_MEMLOCK);
    match facts.memlock {
        Some(limit) if older && limit < MEMLOCK_ENOUGH => Check::warn(
            NAME,
            format!("{} KiB of locked memory, which this kernel counts BPF maps into", limit / 1024),
            "ulimit -l unlimited, as root",
        ),
        Some(limit) if older => Check::ok(NAME, format!("{} KiB of locked memory", limit / 1024)),
        Some(_) | None => Check::ok(NAME, "none that matters"),
    }
}

/// Major and minor number of a release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
