use super::super::requirements::check::Standing;
use super::*;

const NONE: Capabilities = Capabilities { bpf: false, perfmon: false, sys_admin: false };
const ROOT: Capabilities = Capabilities { bpf: true, perfmon: true, sys_admin: true };

/// An ordinary user of a machine that can trace.
fn user() -> Prospects {
    Prospects {
        own: Facts {
            architecture: "x86_64".into(),
            kernel: "6.1.0-18-amd64".into(),
            btf: Btf::Readable,
            capabilities: NONE,
            bounding: ROOT,
            no_new_privileges: false,
            lockdown: None,
            uprobes: true,
            perf_event_paranoid: Some(2),
            pid_namespace: Some(false),
            container: None,
            user_namespace: false,
            memlock: Some(64 * 1024),
            bpf_refused: None,
        },
        installed: Installed::Absent,
        sudo: true,
        secure: false,
    }
}

fn ready() -> Installed {
    Installed::Ready("/helper".into())
}

fn found(prospects: &Prospects) -> String {
    prospects.way().expect_err("there is no way").found
}

#[test]
fn the_way_with_the_fewest_questions_is_taken() {
    let user = user();
    let with = |own: Facts, installed| Prospects { own, installed, ..user.clone() };
    assert_eq!(user.way(), Ok(Way::Sudo));
    assert_eq!(with(user.own.clone(), ready()).way(), Ok(Way::Installed("/helper".into())));
    let root = Facts { capabilities: ROOT, no_new_privileges: true, ..user.own.clone() };
    assert_eq!(with(root, ready()).way(), Ok(Way::Direct));
    let unusable = Installed::Unusable { found: "it is old".into(), cure: SETUP.into() };
    assert_eq!(with(user.own.clone(), unusable).way(), Ok(Way::Sudo));
}

#[test]
fn what_is_in_every_way_is_said() {
    let user = user();
    let own = |own: Facts| Prospects { own, installed: ready(), ..user.clone() };
    // Root of a user namespace has all capabilities in it.
    let namespace = own(Facts { user_namespace: true, capabilities: ROOT, ..user.own.clone() });
    assert!(found(&namespace).contains("user namespace"));
    assert!(found(&own(Facts { no_new_privileges: true, ..user.own.clone() })).contains("no-new-privileges"));
    assert!(found(&own(Facts { bounding: NONE, ..user.own.clone() })).contains("bounding set"));
    let alone = Prospects { sudo: false, ..user.clone() };
    assert!(found(&alone).contains("neither sudo nor an installed probe helper"));
    // Nothing else hides it, and it is an error in the doctor's words.
    let way = namespace.way();
    let missing: Vec<Check> = checks(&namespace.expected(&way), &way).into_iter().filter(Check::is_missing).collect();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].to_error().to_string().ends_with(&missing[0].found));
}

#[test]
fn what_is_expected_is_of_the_process_that_will_be_privileged() {
    let hidden = Facts { btf: Btf::Unreadable, ..user().own };
    let prospects = Prospects { own: hidden, ..user() };
    let of = |installed| {
        let prospects = Prospects { installed, ..prospects.clone() };
        let way = prospects.way();
        let checks = checks(&prospects.expected(&way), &way);
        checks.into_iter().find(Check::is_missing).map(|check| check.name)
    };
    // Root may read what the user, and so the installed helper, may not.
    assert_eq!(of(Installed::Absent), None);
    assert_eq!(of(ready()), Some("BTF"));
}

#[test]
fn warnings_are_of_what_is_used() {
    assert_eq!(user().warnings(), []);
    let all = Prospects { secure: true, own: Facts { capabilities: ROOT, ..user().own }, ..user() }.warnings();
    assert!(matches!(&all[..], [Check { standing: Standing::Warn, found, .. }] if found.contains("LD_LIBRARY_PATH")));
    let unusable = Installed::Unusable { found: "it is old".into(), cure: SETUP.into() };
    let old = Prospects { installed: unusable.clone(), ..user() };
    assert_eq!(old.warnings().len(), 1);
    let root = Facts { capabilities: ROOT, ..user().own };
    assert_eq!(Prospects { own: root, installed: unusable, ..user() }.warnings(), []);
}
