//! Servers that run before anybody watches them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::client::Client;
use crate::run::Server;
use crate::{fixture, system, tool};

/// A server of this repository, started by the test; dropped, it is killed.
pub struct Background {
    child: Child,
    /// Where it listens; 0 if that is no TCP port.
    pub port: u16,
}

impl Background {
    /// On any free port; it listens.
    pub fn start(server: Server) -> Self {
        Self::start_with(server, &[])
    }

    /// With arguments, which may say where it listens.
    pub fn start_with(server: Server, arguments: &[&str]) -> Self {
        Self::start_executable(&tool::build(server.package, server.bin), arguments)
    }

    /// The same of a copy in a folder, as of a server that was installed: no workspace is around it.
    pub fn start_in(folder: &Path, server: Server) -> Self {
        Self::start_copy(&folder.join(server.bin), server)
    }

    /// The same of a copy with this path.
    pub fn start_copy(executable: &Path, server: Server) -> Self {
        // One that runs cannot be written to.
        if !executable.exists() {
            fixture::copy_executable(&tool::build(server.package, server.bin), executable);
        }
        Self::start_executable(executable, &[])
    }

    fn start_executable(executable: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(executable);
        command.args(arguments);
        let mut child = command.env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a server");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("what it prints");
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.or(line.contains("unix:").then_some(0)).unwrap_or_else(|| panic!("no port in '{line}'"));
        Self { child, port }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it.
    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    /// Whether it has not ended; no signal that may end a process is then waited for.
    pub fn goes_on(&self) -> bool {
        system::is_running(self.pid())
    }

    /// Ends it, as by a crash.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
