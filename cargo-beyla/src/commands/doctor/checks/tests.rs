use insta::assert_snapshot;

use super::super::check::{Standing, render};
use super::super::facts::Capabilities;
use super::*;

const ROOT: Capabilities = Capabilities { bpf: true, perfmon: true, sys_admin: true };

fn good() -> Facts {
    Facts {
        architecture: "x86_64",
        kernel: "6.1.0-18-amd64".into(),
        btf: Btf::Readable,
        capabilities: ROOT,
        sudo: Sudo::Absent,
        lockdown: Some("none [integrity] confidentiality".into()),
        uprobes: true,
        perf_event_paranoid: Some(2),
        pid_namespace: Some(false),
        container: None,
        user_namespace: false,
        memlock: Some(8 * 1024 * 1024),
    }
}

fn said(facts: &Facts, load_result: Result<(), String>) -> String {
    let mut checks = checks(facts);
    checks.push(load(facts, &checks, || load_result));
    render(&checks, false)
}

fn standing(facts: &Facts, name: &str) -> Standing {
    checks(facts).into_iter().find(|check| check.name == name).unwrap().standing
}

#[test]
fn a_machine_that_can() {
    assert_snapshot!(said(&good(), Ok(())), @"
    ok       kernel        Linux 6.1.0-18-amd64 on x86_64
    ok       BTF           /sys/kernel/btf/vmlinux
    ok       privilege     CAP_BPF and CAP_PERFMON
    ok       lockdown      integrity
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     none, in the machine's PID namespace
    ok       memory limit  none that matters
    ok       --explain     tasks, threads and places in the code
    ok       BPF load      a program of each kind was loaded and attached

    This machine can trace: `cargo beyla run` will work.
    ");
}

#[test]
fn a_machine_that_cannot() {
    let facts = Facts {
        kernel: "5.4.0-42-generic".into(),
        btf: Btf::Absent,
        capabilities: Capabilities::default(),
        lockdown: Some("none integrity [confidentiality]".into()),
        pid_namespace: Some(true),
        container: Some("Docker"),
        memlock: Some(64 * 1024),
        ..good()
    };
    assert_snapshot!(said(&facts, Ok(())), @"
    missing  kernel        Linux 5.4.0-42-generic on x86_64
                           cure: use Linux 5.8 or later
    missing  BTF           no /sys/kernel/btf/vmlinux
                           cure: use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of all large distributions; in a container, mount /sys
    ok       privilege     an ordinary user
    missing  sudo          not found
                           cure: install sudo and allow it for this user, or run as root
    missing  lockdown      confidentiality: BPF programs may not read the kernel's memory
                           cure: boot with lockdown=integrity, or with Secure Boot off
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     Docker, in a PID namespace of its own
    warn     memory limit  64 KiB of locked memory, which this kernel counts BPF maps into
                           cure: ulimit -l unlimited, as root
    warn     --explain     without the places in the code
                           cure: use Linux 5.15 or later
    warn     BPF load      not tried, as something else is missing

    This machine cannot trace until what is missing is there.
    ");
}

#[test]
fn a_user_with_sudo() {
    let user = Facts { capabilities: Capabilities::default(), ..good() };
    let asks = Facts { sudo: Sudo::Asks, ..user.clone() };
    assert_snapshot!(said(&asks, Err("never called".into())), @"
    ok       kernel        Linux 6.1.0-18-amd64 on x86_64
    ok       BTF           /sys/kernel/btf/vmlinux
    ok       privilege     an ordinary user; the probes are started through sudo
    warn     sudo          asks for a password, or does not let this user
                           cure: sudo -v asks it now; a line in sudoers for good
    ok       lockdown      integrity
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     none, in the machine's PID namespace
    ok       memory limit  none that matters
    ok       --explain     tasks, threads and places in the code
    warn     BPF load      not tried, as sudo asks for a password
                           cure: sudo -v, and then cargo beyla doctor again

    This machine can trace, but for the warnings above.
    ");
    let free = Facts { sudo: Sudo::Free, ..user };
    assert!(said(&free, Ok(())).contains("can trace: `cargo beyla run` will work"));
}

#[test]
fn a_refused_load_is_missing() {
    let refused = said(&good(), Err("the kernel says EPERM".into()));
    assert!(refused.contains("missing  BPF load      the kernel says EPERM\n"), "{refused}");
}

#[test]
fn each_fact_counts() {
    assert_eq!(standing(&Facts { kernel: "5.8.0".into(), ..good() }, "kernel"), Standing::Ok);
    assert_eq!(standing(&Facts { kernel: "5.7.19".into(), ..good() }, "kernel"), Standing::Missing);
    assert_eq!(standing(&Facts { kernel: "odd".into(), ..good() }, "kernel"), Standing::Warn);
    assert_eq!(standing(&Facts { architecture: "riscv64", ..good() }, "kernel"), Standing::Missing);
    assert_eq!(standing(&Facts { user_namespace: true, ..good() }, "privilege"), Standing::Missing);
    assert_eq!(standing(&Facts { lockdown: None, ..good() }, "lockdown"), Standing::Ok);
    let perfmon = Capabilities { sys_admin: false, ..ROOT };
    let paranoid = Facts { capabilities: perfmon, perf_event_paranoid: Some(4), ..good() };
    assert_eq!(standing(&paranoid, "perf events"), Standing::Warn);
    let old = Facts { kernel: "5.10.0".into(), ..good() };
    assert_eq!(standing(&old, "--explain"), Standing::Warn);
    assert_eq!(standing(&Facts { uprobes: false, ..good() }, "--explain"), Standing::Warn);
    assert_eq!(standing(&old, "memory limit"), Standing::Warn);
    assert_eq!(standing(&Facts { memlock: None, ..old }, "memory limit"), Standing::Ok);
}
