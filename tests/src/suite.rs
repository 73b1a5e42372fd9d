//! A run of `cargo beyla test`, and what its recording says of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, ExitStatus};

use cargo_beyla_events::{AF_INET, Header, Open, Transfer, kind};
use serde::Deserialize;
use tempfile::TempDir;
use zerocopy::FromBytes;

use crate::alone::alone;
use crate::fixture;
use crate::tool::{root, tool};

/// The part of the JSON report that is about tests.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct SuiteReport {
    pub totals: crate::report::Totals,
    pub tests: Vec<Test>,
    pub requests: Vec<Request>,
    #[serde(default)]
    pub unseen: HashMap<String, u64>,
    #[serde(default)]
    pub findings: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Test {
    pub binary: String,
    pub name: String,
    #[serde(default)]
    pub round: u32,
    pub status: Option<String>,
    pub duration_ns: u64,
    pub requests: u64,
    pub errors: u64,
    pub sum_ns: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Request {
    pub id: u64,
    pub pid: Option<u32>,
    pub method: String,
    pub path: String,
    pub route: String,
    pub status: Option<u16>,
    pub total_ns: u64,
    pub client: String,
    pub server: String,
    pub test: Option<usize>,
}

/// A run that is over.
#[derive(Debug)]
pub struct Suite {
    /// How the tool ended.
    pub status: ExitStatus,
    /// What it said.
    pub stderr: String,
    folder: TempDir,
}

impl Suite {
    /// Runs `cargo beyla test` in this repository with a JSON report and a recording. Of a process, one at a time:
    /// each keeps all CPUs busy, and measures.
    pub fn run(flags: impl IntoIterator<Item = impl AsRef<OsStr>>, environment: &[(&str, &str)]) -> Self {
        let _alone = alone();
        let folder = fixture::folder(&[]);
        let mut command = Command::new(tool());
        command.current_dir(root()).args(["beyla", "test", "--json"]).arg(folder.path().join("report.json"));
        command.arg("--record").arg(folder.path().join("run.beyla")).args(flags);
        let output = command.envs(environment.iter().copied()).output().expect("the tool runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { status: output.status, stderr, folder }
    }

    /// Its JSON report.
    pub fn report(&self) -> SuiteReport {
        serde_json::from_value(self.json()).unwrap_or_else(|error| panic!("{error}: {:#}", self.json()))
    }

    /// The whole of it.
    pub fn json(&self) -> serde_json::Value {
        let text = fs::read_to_string(self.folder.path().join("report.json"));
        let text = text.unwrap_or_else(|error| panic!("no report: {error}\n{}", self.stderr));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// By the two ends of each connection: what the recorded bytes say in `x-test`, request by request.
    pub fn test_headers(&self) -> HashMap<(String, String), Vec<String>> {
        let bytes = fs::read(self.folder.path().join("run.beyla")).expect("a recording");
        // Two lines, and then records.
        let mut lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let mut rest = &bytes[lines.nth(1).expect("two lines")..];
        let mut ends: HashMap<u64, (String, String)> = HashMap::new();
        let mut headers: HashMap<(String, String), Vec<String>> = HashMap::new();
        while let Ok((header, _)) = Header::read_from_prefix(rest) {
            let Some(record) = rest.get(..header.size as usize).filter(|record| !record.is_empty()) else { break };
            rest = &rest[record.len()..];
            if header.kind == kind::OPEN {
                let (open, _) = Open::read_from_prefix(record).expect("a whole record");
                ends.insert(header.connection, (address(&open.remote), address(&open.local)));
            } else if header.kind == kind::RECEIVE {
                let (_, data) = Transfer::read_from_prefix(record).expect("a whole record");
                let text = String::from_utf8_lossy(data);
                let named = text.lines().filter_map(|line| line.strip_prefix("x-test: "));
                let ends = ends.get(&header.connection).expect("it was opened");
                headers.entry(ends.clone()).or_default().extend(named.map(str::to_owned));
            }
        }
        headers
    }
}

fn address(endpoint: &cargo_beyla_events::Endpoint) -> String {
    assert_eq!(endpoint.family, AF_INET);
    let [a, b, c, d, ..] = endpoint.address;
    SocketAddr::new(IpAddr::from([a, b, c, d]), endpoint.port).to_string()
}
