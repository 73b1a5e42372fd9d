//! What the doctor looks at. Nothing is judged here.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The number of the PID namespace that the kernel starts with (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The state of the machine and of this process.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// As `uname -m` has it.
    pub(super) architecture: &'static str,
    /// As `uname -r` has it.
    pub(super) kernel: String,
    /// The kernel's own type information.
    pub(super) btf: Btf,
    pub(super) capabilities: Capabilities,
    pub(super) sudo: Sudo,
    /// The line of `/sys/kernel/security/lockdown`; `None` where the kernel has none or hides it.
    pub(super) lockdown: Option<String>,
    /// Whether the kernel can put probes into programs.
    pub(super) uprobes: bool,
    /// `kernel.perf_event_paranoid`.
    pub(super) perf_event_paranoid: Option<i32>,
    /// Whether the process lives in a PID namespace of its own; `None` if that cannot be told.
    pub(super) pid_namespace: Option<bool>,
    /// Which kind of container this is.
    pub(super) container: Option<&'static str>,
    /// Whether root here is root of the machine; capabilities of another user namespace do not count
    /// for BPF.
    pub(super) user_namespace: bool,
    /// Hard limit of locked memory in bytes; `None` is no limit.
    pub(super) memlock: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Btf {
    Readable,
    Unreadable,
    Absent,
}

/// Effective capabilities of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) bpf: bool,
    pub(super) perfmon: bool,
    pub(super) sys_admin: bool,
}

impl Capabilities {
    /// Whether they are enough to trace.
    pub(super) fn suffice(self) -> bool {
        self.sys_admin || (self.bpf && self.perfmon)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sudo {
    Absent,
    /// It asks for a password, or refuses.
    Asks,
    /// It does as it is told.
    Free,
}

impl Facts {
    /// Looks around.
    pub(super) fn gather() -> Self {
        let status = read("/proc/self/status").unwrap_or_default();
        Self {
            architecture: std::env::consts::ARCH,
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            btf: btf(Path::new("/sys/kernel/btf/vmlinux")),
            capabilities: capabilities(&status),
            sudo: sudo(),
            lockdown: read("/sys/kernel/security/lockdown"),
            uprobes: Path::new("/sys/bus/event_source/devices/uprobe").exists(),
            perf_event_paranoid: read("/proc/sys/kernel/perf_event_paranoid").and_then(|value| value.parse().ok()),
            pid_namespace: fs::read_link("/proc/self/ns/pid")
                .ok()
                .map(|namespace| namespace != Path::new(INITIAL_PID_NAMESPACE)),
            container: container(),
            user_namespace: read("/proc/self/uid_map").is_some_and(|map| !is_initial(&map)),
            memlock: memlock(&read("/proc/self/limits").unwrap_or_default()),
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn btf(path: &Path) -> Btf {
    match fs::File::open(path) {
        Ok(_) => Btf::Readable,
        Err(error) if error.kind() == ErrorKind::NotFound => Btf::Absent,
        Err(_) => Btf::Unreadable,
    }
}

fn capabilities(status: &str) -> Capabilities {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective & (1 << capability) != 0;
    Capabilities { bpf: has(CAP_BPF), perfmon: has(CAP_PERFMON), sys_admin: has(CAP_SYS_ADMIN) }
}

fn sudo() -> Sudo {
    let Ok(sudo) = which::which("sudo") else {
        return Sudo::Absent;
    };
    let free = Command::new(sudo)
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if free { Sudo::Free } else { Sudo::Asks }
}

fn container() -> Option<&'static str> {
    if Path::new("/.dockerenv").exists() {
        Some("Docker")
    } else if Path::new("/run/.containerenv").exists() {
        Some("Podman")
    } else if Path::new("/run/systemd/container").exists() {
        Some("systemd-nspawn or LXC")
    } else if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        Some("Kubernetes")
    } else {
        None
    }
}

/// The user namespace that the kernel starts with maps every user to itself.
fn is_initial(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The hard limit out of `Max locked memory  8388608  8388608  bytes`.
fn memlock(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_mask() {
        let of = |mask: &str| capabilities(&format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{mask}\n"));
        assert_eq!(of("0000000000000000"), Capabilities::default());
        assert!(of("000001ffffffffff").suffice());
        assert!(of("000000c000000000").suffice());
        assert!(of("0000000000200000").suffice());
        assert!(!of("0000008000000000").suffice());
        assert_eq!(capabilities("nonsense"), Capabilities::default());
    }

    #[test]
    fn limits_and_maps() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax locked memory  8388608  67108864  bytes\n";
        assert_eq!(memlock(limits), Some(67_108_864));
        assert_eq!(memlock("Max locked memory  unlimited  unlimited  bytes"), None);
        assert!(is_initial("         0          0 4294967295"));
        assert!(!is_initial("0 1000 1\n1 100000 65536"));
    }

    #[test]
    fn looking_around_never_fails() {
        assert!(!Facts::gather().kernel.is_empty());
    }
}
