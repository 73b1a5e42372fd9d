//! Grafana Cloud, as far as it can be had without the internet: what leaves for its gateway, over TLS.
//!
//! The gateway's name leads to a receiver of the test's own, and the system trusts that one's certificate, in a mount
//! namespace in which the tool runs alone. Needs root.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use beyla_tests::background::Background;
use beyla_tests::client::Client;
use beyla_tests::fixture;
use beyla_tests::receiver::{Identity, Receiver};
use beyla_tests::run::{Capture, Finished, LATENCY_LAB, Run, Running};
use beyla_tests::spans;
use beyla_tests::system::{command_line, descendants};
use tempfile::TempDir;

const ZONE: &str = "prod-eu-west-0";
const GATEWAY: &str = "otlp-gateway-prod-eu-west-0.grafana.net";
const KEY: &str = "glc_eyJvIjoiMTIzIn0=/secret";
/// `12345:` and the key, in base 64.
const AUTHORIZATION: &str = "MTIzNDU6Z2xjX2V5SnZJam9pTVRJekluMD0vc2VjcmV0";

/// The article's file, with its variables.
fn yaml(port: u16) -> String {
    format!(
        "open_port: {port}\n\ngrafana:\n  otlp:\n    cloud_submit: [\"traces\", \"metrics\"]\n    cloud_zone: \
         ${{GRAFANA_ZONE}}\n    cloud_instance_id: \"12345\"\n    cloud_api_key: ${{GRAFANA_KEY}}\n"
    )
}

/// The gateway, and how a run gets there.
struct Cloud {
    receiver: Receiver,
    folder: TempDir,
}

impl Cloud {
    /// On port 443, which is what the name in the zone stands for; each test on an address of its own.
    fn start(last: u8) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, high, low, last), 443));
        let identity = Identity::of(GATEWAY);
        let system = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let hosts = format!("{} {GATEWAY}\n{system}", address.ip());
        let folder = fixture::folder(&[("hosts", &hosts), ("authorities.crt", &identity.authority)]);
        Self { receiver: Receiver::start_tls(address, &identity), folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, run: Run, port: u16, trusted: bool) -> Run {
        fixture::write(self.folder.path(), &[("beyla.yml", &yaml(port))]);
        let mut mounts = vec![(self.path("hosts"), "/etc/hosts")];
        if trusted {
            mounts.push((self.path("authorities.crt"), "/etc/ssl/certs/ca-certificates.crt"));
        }
        let mounts: Vec<String> = mounts.iter().map(|(file, over)| format!("mount --bind {file} {over}")).collect();
        let script = format!("{} && exec \"$@\"", mounts.join(" && "));
        run.flags(["--config", &self.path("beyla.yml"), "--record", &self.path("recording")])
            .environment("GRAFANA_ZONE", ZONE)
            .environment("GRAFANA_KEY", KEY)
            .under(["unshare", "--mount", "sh", "-c", &script, "sh"])
    }

    /// What the receiver has is what the report tells.
    fn has_all(&self, finished: &Finished, requests: u64) {
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        assert_eq!(report.totals.requests, requests);
        // Under the path of the gateway they are the same messages.
        spans::are_those_of(&report, &self.receiver);
        for signal in ["traces", "metrics"] {
            let received = self.receiver.received(&format!("/otlp/v1/{signal}"));
            assert!(!received.is_empty(), "no {signal}:\n{}", finished.stderr);
            for message in received {
                assert_eq!(message.field("authorization"), Some(format!("Basic {AUTHORIZATION}").as_str()));
                assert_eq!(message.field("host"), Some(GATEWAY));
                assert_eq!(message.field("content-type"), Some("application/x-protobuf"));
            }
        }
        let told = format!("Sent the spans of {requests} requests to https://{GATEWAY}/otlp/v1/traces\n");
        assert!(finished.stderr.contains(&told), "{}", finished.stderr);
    }

    /// The key is in nothing that was written.
    fn keeps_the_secret(&self, finished: &Finished) {
        let recording = std::fs::read(self.folder.path().join("recording")).expect("a recording");
        let json = finished.json.clone().unwrap_or_default().into_bytes();
        for written in [&recording[..], &json, finished.stdout.as_bytes(), finished.stderr.as_bytes()] {
            assert!(!holds_the_secret(written), "{}", String::from_utf8_lossy(written));
        }
    }
}

fn holds_the_secret(bytes: &[u8]) -> bool {
    let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    holds(KEY) || holds(AUTHORIZATION) || holds("glc_")
}

/// No command line has the key, and the environment of the privileged helper neither.
fn nobody_sees_the_secret(run: &Running) {
    let processes =
        std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for pid in processes.filter_map(|name| name.parse().ok()) {
        let line = command_line(pid);
        assert!(!holds_the_secret(line.as_bytes()), "{line}");
    }
    let helper = descendants(run.tool_pid()).into_iter().find(|pid| command_line(*pid).contains("__probe"));
    let environment = Path::new("/proc").join(helper.expect("a helper").to_string()).join("environ");
    assert!(!holds_the_secret(&std::fs::read(environment).expect("it runs")));
    let own = Path::new("/proc").join(run.tool_pid().to_string()).join("environ");
    assert!(holds_the_secret(&std::fs::read(own).expect("it runs")), "the search finds what there is");
}

fn send(mut client: Client, run: &Running) {
    for number in 0..400 {
        client.get(if number % 2 == 0 { "/fast" } else { "/users/7" });
        if number % 100 == 50 {
            nobody_sees_the_secret(run);
        }
    }
}

#[test]
fn a_run() {
    let cloud = Cloud::start(1);
    // `run` does not look at the port.
    let run = cloud.run(Run::of(LATENCY_LAB, Capture::Auto), 8080, true).start();
    send(run.connect(), &run);
    let finished = run.let_go();
    cloud.has_all(&finished, 400);
    cloud.keeps_the_secret(&finished);
}

#[test]
fn a_server_that_runs() {
    let (cloud, server) = (Cloud::start(2), Background::start(LATENCY_LAB));
    let run = cloud.run(Run::attach(Capture::Auto), server.port, true).start_watching();
    send(server.connect(), &run);
    run.interrupt();
    let finished = run.wait();
    cloud.has_all(&finished, 400);
    cloud.keeps_the_secret(&finished);
}

#[test]
fn a_gateway_that_nobody_vouches_for() {
    let cloud = Cloud::start(3);
    let run = cloud.run(Run::of(LATENCY_LAB, Capture::Auto), 8080, false).start();
    run.connect().get("/fast");
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!((finished.report().totals.requests, cloud.receiver.count()), (1, 0));
    for said in [
        format!("sent the spans of none of 1 request to https://{GATEWAY}/otlp/v1/traces; 1 was not sent: "),
        format!("sent no metrics to https://{GATEWAY}/otlp/v1/metrics: "),
    ] {
        let line = finished.stderr.lines().find(|line| line.contains(&said));
        let line = line.unwrap_or_else(|| panic!("'{said}' is not in:\n{}", finished.stderr));
        assert!(line.contains("its certificate is of an authority that is not trusted"), "{line}");
    }
    cloud.keeps_the_secret(&finished);
}
