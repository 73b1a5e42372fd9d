//! A Prometheus of its own, and what it knows; and what it would scrape.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, get};
use crate::fixture;
use crate::run::Running;
use crate::system::free_port;
use crate::wait::{LONG, poll};

/// Debian's Prometheus, which scrapes one target twice a second; dropped, it is killed.
pub struct Prometheus {
    child: Child,
    folder: TempDir,
    port: u16,
}

/// A value and the labels that it has.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `__name__`, `job` and `instance` among them.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// A label, or nothing.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Prometheus {
    /// Scrapes this port of 127.0.0.1, and is ready to be asked.
    pub fn start(target: u16) -> Self {
        let configuration = format!(
            "global:\n  scrape_interval: 500ms\nscrape_configs:\n- job_name: beyla\n  static_configs:\n  - targets: \
             ['127.0.0.1:{target}']\n"
        );
        let folder = fixture::folder(&[("prometheus.yml", &configuration)]);
        let port = free_port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=exemplar-storage")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus is installed: apt-get install prometheus");
        let mut prometheus = Self { child, folder, port };
        let ready = poll(LONG, || {
            let ended = prometheus.child.try_wait().expect("a child");
            assert!(ended.is_none(), "Prometheus ended:\n{}", prometheus.log());
            TcpStream::connect(("127.0.0.1", port)).ok()?;
            (Client::connect(port).get("/-/ready").status == 200).then_some(())
        });
        assert!(ready.is_some(), "Prometheus is not ready:\n{}", prometheus.log());
        prometheus
    }

    /// What it says of itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The instant values of an expression in `PromQL`.
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.get(&format!("/api/v1/query?query={}", percent_encoded(expression)));
        let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        let sample = |found: &Value| Sample {
            labels: labels(&found["metric"]),
            value: found["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a value"),
        };
        result.iter().map(sample).collect()
    }

    /// The one value of an expression.
    pub fn value(&self, expression: &str) -> f64 {
        match &self.query(expression)[..] {
            [sample] => sample.value,
            other => panic!("{expression}: {other:#?}"),
        }
    }

    /// The exemplars of the last hour, of series that an expression names; their labels and values.
    pub fn exemplars(&self, expression: &str) -> Vec<Sample> {
        let now = std::time::UNIX_EPOCH.elapsed().expect("the clock is set").as_secs();
        let (expression, start, end) = (percent_encoded(expression), now - 3600, now + 3600);
        let answer = self.get(&format!("/api/v1/query_exemplars?query={expression}&start={start}&end={end}"));
        let series = answer["data"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let exemplars = series.iter().flat_map(|series| series["exemplars"].as_array().into_iter().flatten());
        let sample = |found: &Value| Sample {
            labels: labels(&found["labels"]),
            value: found["value"].as_str().and_then(|value| value.parse().ok()).expect("a value"),
        };
        exemplars.map(sample).collect()
    }

    fn get(&self, target: &str) -> Value {
        let answer = Client::connect(self.port).get(target);
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{target}: {error}: {answer:?}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port that the tool says its metrics are on.
pub fn metrics_port(run: &Running) -> u16 {
    let told = run.stderr();
    let url = told.split_whitespace().find(|word| word.starts_with("http://") && word.ends_with("/metrics"));
    let port = url.and_then(|url| url.trim_end_matches("/metrics").rsplit(':').next()?.parse().ok());
    port.unwrap_or_else(|| panic!("no address in:\n{told}"))
}

/// Scrapes as a client that asks for a format.
pub fn scrape(port: u16, accept: &str) -> String {
    let mut client = Client::connect(port);
    let answer = client.send(get("/metrics").replacen("\r\n", &format!("\r\naccept: {accept}\r\n"), 1)).response();
    assert_eq!(answer.status, 200);
    assert!(answer.field("content-type").is_some_and(|of| of.starts_with(accept)), "{}", answer.header);
    String::from_utf8(answer.body).expect("text")
}

/// `promtool check metrics` has nothing to say.
pub fn promtool_is_content(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: apt-get install prometheus");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    let pairs = object.as_object().expect("labels").iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
