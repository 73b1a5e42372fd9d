//! The second service of `examples/orders`, as a process of its own that nobody traces.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::fixture;
use crate::tool;
use crate::wait::{LONG, poll};

/// A server that prints each request; dropped, it is killed.
pub struct Prices {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Prices {
    /// On any free port; it listens.
    pub fn start() -> Self {
        let folder = fixture::folder(&[]);
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(tool::build("orders", "prices"));
        command.env("PORT", "0").stdin(Stdio::null()).stdout(log);
        let child = command.spawn().expect("a server");
        let mut prices = Self { child, folder, port: 0 };
        let port = poll(LONG, || prices.log().lines().next()?.rsplit(':').next()?.parse().ok());
        prices.port = port.unwrap_or_else(|| panic!("it does not listen: {}", prices.log()));
        prices
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// As reports name its port.
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its requests, in the order of their ends, as in `GET /rates/EUR 200`.
    pub fn requests(&self) -> Vec<String> {
        self.log().lines().skip(1).map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prices {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
