//! What a process can see of the machine and of itself. Nothing is judged here.
//!
//! The facts that count are those of the process that will have privilege: it gathers them itself and sends them to
//! its parent.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use aya::maps::MapType;
use serde::{Deserialize, Serialize};

/// The number of the PID namespace that the kernel starts with (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
/// The number of the user namespace that the kernel starts with (`PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// The state of the machine and of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As `uname -m` has it.
    pub architecture: String,
    /// As `uname -r` has it.
    pub kernel: String,
    /// The kernel's own type information.
    pub btf: Btf,
    /// Those that this process has.
    pub capabilities: Capabilities,
    /// Those that a program can get at most, by sudo or from its file.
    pub bounding: Capabilities,
    /// Whether programs that this process starts get no more rights than it has (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// The line of `/sys/kernel/security/lockdown`; `None` where the kernel has none or hides it.
    pub lockdown: Option<String>,
    /// Whether the kernel can put probes into programs.
    pub uprobes: bool,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i32>,
    /// Whether the process lives in a PID namespace of its own; `None` if that cannot be told.
    pub pid_namespace: Option<bool>,
    /// Which kind of container this is.
    pub container: Option<String>,
    /// Whether the process lives in a user namespace of its own: its capabilities do not count for BPF.
    pub user_namespace: bool,
    /// Hard limit of locked memory in bytes; `None` is no limit.
    pub memlock: Option<u64>,
    /// Why the kernel refuses the bpf system call, as far as a process has tried it ([`Self::try_bpf`]).
    pub bpf_refused: Option<String>,
}

/// The kernel's type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Btf {
    /// It is there for us.
    Readable,
    /// It is there for others.
    Unreadable,
    /// The kernel has none, or `/sys` is not mounted.
    Absent,
}

/// Those capabilities of `capabilities(7)` that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `CAP_BPF`
    pub bpf: bool,
    /// `CAP_PERFMON`
    pub perfmon: bool,
    /// `CAP_SYS_ADMIN`
    pub sys_admin: bool,
}

impl Capabilities {
    /// Their numbers in `<linux/capability.h>`.
    pub const BPF: u32 = 39;
    /// See [`Self::BPF`].
    pub const PERFMON: u32 = 38;
    const SYS_ADMIN: u32 = 21;

    /// Whether they are enough to trace.
    pub fn suffice(self) -> bool {
        self.sys_admin || (self.bpf && self.perfmon)
    }

    /// Of a line of `/proc/PID/status`, such as `CapEff:`.
    fn of_status(status: &str, field: &str) -> Self {
        let mask = value(status, field).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        let has = |capability: u32| mask & (1 << capability) != 0;
        Self { bpf: has(Self::BPF), perfmon: has(Self::PERFMON), sys_admin: has(Self::SYS_ADMIN) }
    }
}

impl Facts {
    /// Looks around.
    pub fn gather() -> Self {
        let status = read("/proc/self/status").unwrap_or_default();
        Self {
            architecture: std::env::consts::ARCH.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            btf: btf(Path::new(crate::probe::kernel_layout::BTF_FILE)),
            capabilities: Capabilities::of_status(&status, "CapEff:"),
            bounding: Capabilities::of_status(&status, "CapBnd:"),
            no_new_privileges: value(&status, "NoNewPrivs:") == Some("1"),
            lockdown: read("/sys/kernel/security/lockdown"),
            uprobes: Path::new("/sys/bus/event_source/devices/uprobe").exists(),
            perf_event_paranoid: read("/proc/sys/kernel/perf_event_paranoid").and_then(|value| value.parse().ok()),
            pid_namespace: namespace("pid").map(|namespace| namespace != INITIAL_PID_NAMESPACE),
            container: container().map(str::to_owned),
            user_namespace: match namespace("user") {
                Some(namespace) => namespace != INITIAL_USER_NAMESPACE,
                None => read("/proc/self/uid_map").is_some_and(|map| !is_initial(&map)),
            },
            memlock: memlock(&read("/proc/self/limits").unwrap_or_default()),
            bpf_refused: None,
        }
    }

    /// Makes a BPF map, for a moment: seccomp filters and security modules show themselves in no other way.
    #[must_use]
    pub fn try_bpf(self) -> Self {
        let refused = aya::sys::is_map_supported(MapType::Array).err().map(|error| error.io_error.to_string());
        Self { bpf_refused: refused, ..self }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// What stands behind a name in `/proc/PID/status`.
fn value<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(field)).map(str::trim)
}

fn namespace(kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn btf(path: &Path) -> Btf {
    match fs::File::open(path) {
        Ok(_) => Btf::Readable,
        Err(error) if error.kind() == ErrorKind::NotFound => Btf::Absent,
        Err(_) => Btf::Unreadable,
    }
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
        let of = |mask: &str| {
            Capabilities::of_status(&format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{mask}\nCapBnd:\t1\n"), "CapEff:")
        };
        assert_eq!(of("0000000000000000"), Capabilities::default());
        assert!(of("000001ffffffffff").suffice());
        assert!(of("000000c000000000").suffice());
        assert!(of("0000000000200000").suffice());
        assert!(!of("0000008000000000").suffice());
        assert_eq!(Capabilities::of_status("nonsense", "CapEff:"), Capabilities::default());
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
        let facts = Facts::gather();
        assert!(!facts.kernel.is_empty());
        let sent = serde_json::to_string(&facts).expect("plain data");
        assert_eq!(serde_json::from_str::<Facts>(&sent).expect("the same data"), facts);
    }
}
