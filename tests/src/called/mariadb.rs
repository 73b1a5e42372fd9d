//! Debian's MariaDB.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::{as_user, certify};
use crate::fixture;
use crate::system::free_port;
use crate::wait::{LONG, poll};

/// The password of its user, which no report may show.
pub const PASSWORD: &str = "mypass-hunter2";

/// The least that it needs of memory and disk.
const SMALL: [&str; 2] = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"];

/// A server with one user and one database, both called `orders`; dropped, it is ended.
pub struct Mariadb {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Mariadb {
    /// On any free port and on a Unix socket, where clients may turn to TLS; it can be connected to. It logs each command.
    pub fn start() -> Self {
        let user = format!(
            "CREATE DATABASE orders;\nCREATE USER orders IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON orders.* TO orders;\n"
        );
        let folder = fixture::folder(&[("user.sql", &user)]);
        certify(folder.path());
        let port = free_port();
        let server = program("mariadbd");
        // The folder that has its `sbin`.
        let base = server.ancestors().nth(2).expect("it lies in a folder").display();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let always = ["--no-defaults".to_owned(), format!("--basedir={base}"), data];
        let made = as_user(program("mariadb-install-db"), folder.path())
            .args(&always)
            .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
            .args(SMALL)
            .output()
            .expect("MariaDB is there: tests/run.sh");
        assert!(
            made.status.success(),
            "{}{}",
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let child = as_user(server, folder.path())
            .args(always)
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=60"])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", folder.path().join("mysqld.sock").display()))
            .arg(format!("--init-file={}", folder.path().join("user.sql").display()))
            .arg(format!("--general-log-file={}", folder.path().join("commands").display()))
            .arg(format!("--ssl-cert={}", folder.path().join("certificate").display()))
            .arg(format!("--ssl-key={}", folder.path().join("key").display()))
            .args(["--general-log", "--innodb-flush-log-at-trx-commit=0"])
            .args(SMALL)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut mariadb = Self { child, folder, port };
        let ready = poll(LONG, || {
            let ended = mariadb.child.try_wait().expect("a child");
            assert!(ended.is_none(), "MariaDB ended:\n{}", mariadb.read("log"));
            mariadb.read("log").contains("ready for connections").then_some(())
        });
        assert!(ready.is_some(), "MariaDB is not ready:\n{}", mariadb.read("log"));
        mariadb
    }

    /// The URL of its TCP port, without what only one library takes.
    pub fn url(&self) -> String {
        format!("mysql://orders:{PASSWORD}@127.0.0.1:{}/orders", self.port)
    }

    /// As reports name its port.
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("mysqld.sock")
    }

    /// The commands that it was sent, each with its arguments, as in `Query SELECT 1`. Of those that execute a prepared
    /// statement, the log has its text with the parameters in it.
    pub fn commands(&self) -> Vec<String> {
        commands(&self.read("commands"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

/// A line of the log has the time, if a new second has begun, the number of the connection, a command and its arguments,
/// with tabs between them. What goes on in the next line has none of that.
fn commands(log: &str) -> Vec<String> {
    let command = |line: &str| {
        let (_, behind_time) = line.split_once('\t')?;
        let (who, arguments) = behind_time.trim_start().split_once('\t')?;
        let (connection, command) = who.split_once(' ')?;
        connection.parse::<u64>().ok()?;
        Some(format!("{command} {arguments}").trim_end().to_owned())
    };
    log.lines().filter_map(command).collect()
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of MariaDB's, where it lies itself and not where a link to it does.
fn program(name: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).chain(["/usr/sbin".into()]).map(|folder| folder.join(name));
    let found = paths.find_map(|path| fs::canonicalize(path).ok());
    found.unwrap_or_else(|| panic!("{name} is there: tests/run.sh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_commands() {
        let log = "mariadbd, Version: 10.11. started with:\nTime\t\t    Id Command\tArgument\n\
            261129 16:44:15\t     4 Connect\torders@127.0.0.1 on orders using TCP/IP\n\
            \t\t     4 Prepare\tSELECT ?\n\t\t    14 Execute\tSELECT\n  1\tAS a\n261129 16:44:16\t     4 Quit\t\n";
        let all = ["Connect orders@127.0.0.1 on orders using TCP/IP", "Prepare SELECT ?", "Execute SELECT", "Quit"];
        assert_eq!(commands(log), all);
    }
}
