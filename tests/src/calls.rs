//! Calls of gRPC, as the client of `examples/grpc` counts them and as the report does.

use std::collections::BTreeMap;
use std::process::Command;

use crate::report::{Grpc, Report};
use crate::run::Running;
use crate::tool;

/// By method and status: calls, messages of requests, messages of responses.
pub type Counts = BTreeMap<(String, u32), [u64; 3]>;

/// Runs the client of `examples/grpc`, and returns what it counted.
pub fn call(run: &Running, calls: u32, sleeps: u32, streams: u32, messages: u32) -> Counts {
    let client = tool::build("grpc", "grpc_client");
    let numbers = [calls, sleeps, streams, messages].map(|number| number.to_string());
    let output = Command::new(client).arg(format!("http://127.0.0.1:{}", run.port)).args(numbers).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).expect("text");
    let rows = told.lines().skip(1).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap_or_else(|_| panic!("no number in '{line}'"));
        ((words[0].to_owned(), number(1) as u32), [number(2), number(3), number(4)])
    });
    rows.collect()
}

/// The same of the report.
pub fn reported(report: &Report) -> Counts {
    let mut counts = Counts::new();
    for request in &report.requests {
        let grpc = request.grpc.as_ref().unwrap_or_else(|| panic!("no call of gRPC: {request:#?}"));
        assert_eq!((grpc.service.as_str(), request.protocol.as_str()), ("lab.v1.Lab", "http/2"));
        assert_eq!(request.route, format!("/lab.v1.Lab/{}", grpc.method));
        let Grpc { status: Some(status), request_messages: Some(sent), response_messages: Some(received), .. } = grpc
        else {
            panic!("not all is known: {request:#?}");
        };
        let all = counts.entry((grpc.method.clone(), *status)).or_default();
        for (all, one) in all.iter_mut().zip([1, *sent, *received]) {
            *all += one;
        }
    }
    counts
}
