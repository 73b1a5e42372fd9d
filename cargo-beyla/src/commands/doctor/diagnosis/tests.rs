use insta::assert_snapshot;

use super::super::render::render;
use super::*;
use crate::probe::requirements::facts::{Btf, Capabilities};
use crate::probe::starting::failure;

const NONE: Capabilities = Capabilities { bpf: false, perfmon: false, sys_admin: false };
const ROOT: Capabilities = Capabilities { bpf: true, perfmon: true, sys_admin: true };

fn good() -> Facts {
    Facts {
        architecture: "x86_64".into(),
        kernel: "6.1.0-18-amd64".into(),
        btf: Btf::Readable,
        capabilities: ROOT,
        bounding: ROOT,
        no_new_privileges: false,
        lockdown: Some("none [integrity] confidentiality".into()),
        uprobes: true,
        perf_event_paranoid: Some(2),
        pid_namespace: Some(false),
        container: None,
        user_namespace: false,
        memlock: Some(8 * 1024 * 1024),
        bpf_refused: None,
    }
}

fn prospects(own: &Facts, sudo: bool) -> Prospects {
    Prospects { own: own.clone(), installed: Installed::Absent, sudo, secure: false }
}

/// Of a helper that sees what we see.
fn started(facts: &Facts, asked: bool) -> Attempt {
    Attempt::Started {
        facts: Facts { capabilities: ROOT, ..facts.clone() },
        asked,
        loaded: Some(Ok("syscalls".into())),
    }
}

fn said(prospects: &Prospects, attempt: Attempt) -> String {
    render(&diagnosis(prospects, &prospects.way(), attempt), false)
}

fn standing(facts: &Facts, name: &str) -> Standing {
    let prospects = prospects(facts, false);
    let checks = diagnosis(&prospects, &prospects.way(), Attempt::Vain);
    checks.into_iter().find(|check| check.name == name).unwrap().standing
}

#[test]
fn a_machine_that_can() {
    assert_snapshot!(said(&prospects(&good(), false), started(&good(), false)), @"
    ok       privilege     CAP_BPF and CAP_PERFMON, of this process
    ok       kernel        Linux 6.1.0-18-amd64 on x86_64
    ok       BTF           /sys/kernel/btf/vmlinux
    ok       lockdown      integrity
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     none, in the machine's PID namespace
    ok       memory limit  none that matters
    ok       TLS           is read where rustls (aws-lc-rs, ring), OpenSSL or BoringSSL speak it
    ok       --explain     tasks, threads and places in the code
    ok       BPF load      every program was loaded; bytes are captured by system calls

    This machine can trace: `cargo beyla run` will work.
    ");
}

#[test]
fn a_machine_that_cannot() {
    let facts = Facts {
        kernel: "5.4.0-42-generic".into(),
        btf: Btf::Absent,
        capabilities: NONE,
        lockdown: Some("none integrity [confidentiality]".into()),
        pid_namespace: Some(true),
        container: Some("Docker".into()),
        memlock: Some(64 * 1024),
        ..good()
    };
    assert_snapshot!(said(&prospects(&facts, false), Attempt::Vain), @"
    missing  privilege     there is neither sudo nor an installed probe helper
                           cure: install sudo and allow it for this user, or have root type `cargo beyla doctor --setup --group GROUP` once
    missing  kernel        Linux 5.4.0-42-generic on x86_64
                           cure: use Linux 5.8 or later
    missing  BTF           no /sys/kernel/btf/vmlinux
                           cure: use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of all large distributions; in a container, mount /sys
    missing  lockdown      confidentiality: BPF programs may not read the kernel's memory
                           cure: boot with lockdown=integrity, or with Secure Boot off
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     Docker, in a PID namespace of its own
    warn     memory limit  64 KiB of locked memory, which this kernel counts BPF maps into
                           cure: ulimit -l unlimited, as root
    ok       TLS           is read where rustls (aws-lc-rs, ring), OpenSSL or BoringSSL speak it
    warn     --explain     without the places in the code
                           cure: use Linux 5.15 or later
    warn     BPF load      not tried, as something else is missing

    This machine cannot trace until what is missing is there.
    ");
}

#[test]
fn a_user_with_sudo() {
    let user = prospects(&Facts { capabilities: NONE, ..good() }, true);
    assert_snapshot!(said(&user, started(&user.own, true)), @"
    ok       privilege     CAP_BPF and CAP_PERFMON, through sudo
    ok       kernel        Linux 6.1.0-18-amd64 on x86_64
    ok       BTF           /sys/kernel/btf/vmlinux
    ok       lockdown      integrity
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     none, in the machine's PID namespace
    ok       memory limit  none that matters
    ok       TLS           is read where rustls (aws-lc-rs, ring), OpenSSL or BoringSSL speak it
    ok       --explain     tasks, threads and places in the code
    ok       helper        none is installed; with one (`cargo beyla doctor --setup`) sudo is not needed
    ok       sudo          starts the helper, and has asked for a password
    ok       BPF load      every program was loaded; bytes are captured by system calls

    This machine can trace: `cargo beyla run` will work.
    ");
    assert!(
        said(&user, started(&user.own, false)).contains("sudo          starts the helper, and asks for no password")
    );
}

#[test]
fn a_user_without_rights_hears_what_sudo_says() {
    let user = prospects(&Facts { capabilities: NONE, ..good() }, true);
    let error = Error::Lacking { message: "sudo says no".into(), hint: Some("ask again".into()) };
    let said = said(&user, Attempt::NotStarted(error));
    assert!(said.contains("missing  sudo          sudo says no\n                       cure: ask again\n"), "{said}");
    assert!(!said.contains("privilege"), "sudo gives none: {said}");
}

#[test]
fn a_user_with_an_installed_helper() {
    let user = prospects(&Facts { capabilities: NONE, ..good() }, true);
    let ready = Prospects { installed: Installed::Ready("/helper".into()), ..user.clone() };
    let helper = Facts { capabilities: Capabilities { sys_admin: false, ..ROOT }, ..good() };
    let attempt =
        |facts: &Facts| Attempt::Started { facts: facts.clone(), asked: false, loaded: Some(Ok("syscalls".into())) };
    assert_snapshot!(said(&ready, attempt(&helper)), @"
    ok       privilege     CAP_BPF and CAP_PERFMON, of the installed helper /helper
    ok       kernel        Linux 6.1.0-18-amd64 on x86_64
    ok       BTF           /sys/kernel/btf/vmlinux
    ok       lockdown      integrity
    ok       perf events   perf_event_paranoid is 2, which is in nobody's way
    ok       container     none, in the machine's PID namespace
    ok       memory limit  none that matters
    ok       TLS           is read where rustls (aws-lc-rs, ring), OpenSSL or BoringSSL speak it
    ok       --explain     tasks, threads and places in the code
    ok       BPF load      every program was loaded; bytes are captured by system calls

    This machine can trace: `cargo beyla run` will work.
    ");
    let paranoid = Facts { perf_event_paranoid: Some(4), ..helper };
    assert!(said(&ready, attempt(&paranoid)).contains("ok       perf events   perf_event_paranoid is 4\n"));
    // What the helper sees of itself counts, and not what was expected.
    let without = said(&ready, Attempt::Started { facts: user.own.clone(), asked: false, loaded: None });
    assert!(without.contains("missing  privilege     /helper is without\n"), "{without}");
    let old = Installed::Unusable { found: "it is of another version".into(), cure: SETUP.into() };
    let old = said(&Prospects { installed: old, ..user }, started(&good(), false));
    assert!(old.contains("warn     helper        it is of another version\n"), "{old}");
}

#[test]
fn a_refused_load_is_missing() {
    let error = Error::Lacking { message: "the kernel says EPERM".into(), hint: None };
    let attempt = Attempt::Started { facts: good(), asked: false, loaded: Some(Err(error)) };
    let refused = said(&prospects(&good(), false), attempt);
    assert!(refused.contains("missing  BPF load      the kernel says EPERM\n"), "{refused}");
    let error = failure(&format!("{VERIFIER_REFUSES} the probe on sys_exit: too large"));
    let attempt = Attempt::Started { facts: good(), asked: false, loaded: Some(Err(error)) };
    let of_ours = said(&prospects(&good(), false), attempt);
    assert!(of_ours.contains("cure: this is a fault of cargo-beyla, not of the machine"), "{of_ours}");
    let reason = Some("Operation not permitted".into());
    let filtered = Facts { bpf_refused: reason, container: Some("Docker".into()), ..good() };
    assert_eq!(standing(&filtered, "BPF"), Standing::Missing);
}

#[test]
fn each_fact_counts() {
    assert_eq!(standing(&Facts { kernel: "5.8.0".into(), ..good() }, "kernel"), Standing::Ok);
    assert_eq!(standing(&Facts { kernel: "5.7.19".into(), ..good() }, "kernel"), Standing::Missing);
    assert_eq!(standing(&Facts { kernel: "odd".into(), ..good() }, "kernel"), Standing::Warn);
    assert_eq!(standing(&Facts { architecture: "riscv64".into(), ..good() }, "kernel"), Standing::Missing);
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
