//! In a PID namespace of its own, as in a container, processes have other ids than the kernel's own.

use beyla_tests::both::both_ways;
use beyla_tests::client::last_get;
use beyla_tests::run::{BASIC, Run};

#[test]
fn a_pid_namespace_of_its_own() {
    both_ways(|capture| {
        let run = Run::of(BASIC, capture).under(["unshare", "--pid", "--fork", "--mount-proc"]).start();
        for _ in 0..20 {
            assert_eq!(run.connect().send(last_get("/hello")).response().status, 200);
        }
        let server = run.server_pid;
        let report = run.stop();
        assert_eq!(report.totals.requests, 20);
        assert_eq!(report.target.pid, server);
        assert!(server < 1000, "the namespace is new, and its ids are small: {server}");
        report
    });
}
