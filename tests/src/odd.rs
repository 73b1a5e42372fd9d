//! Runs of `odd_server`, which serves one exchange in whatever way it is told.

use crate::run::{Capture, Run, Running, Server};

/// The package's own odd server.
pub const ODD_SERVER: Server = Server { package: "beyla-tests", bin: "odd_server" };

/// A run in which each connection on a TCP port plays the steps.
pub fn playing(capture: Capture, steps: &[&str]) -> Running {
    with_flags(capture, &["--listen", "tcp4"], steps)
}

/// The same with other flags of `odd_server`.
pub fn with_flags(capture: Capture, flags: &[&str], steps: &[&str]) -> Running {
    Run::of(ODD_SERVER, capture).arguments(flags.iter().chain(&["--"]).chain(steps)).start()
}

/// A response with a body of known length.
pub fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The length of a message's header.
pub fn header_length(message: impl AsRef<[u8]>) -> usize {
    message.as_ref().windows(4).position(|window| window == b"\r\n\r\n").expect("an empty line") + 4
}
