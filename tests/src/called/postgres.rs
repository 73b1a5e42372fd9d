//! Debian's PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::{as_user, certify};
use crate::fixture;
use crate::system::free_port;
use crate::wait::{LONG, poll};

/// The password of its user, which no report may show.
pub const PASSWORD: &str = "pgpass-hunter2";

/// The settings by which each statement is logged, with the time that it took.
const LOGS: [&str; 2] = ["log_min_duration_statement=0", "log_line_prefix=[%p] "];

/// A server with one user and one database, both called `orders`; dropped, it is ended.
pub struct Postgres {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// On any free port and on a Unix socket; it can be connected to. It logs each statement with the time that it took.
    pub fn start() -> Self {
        Self::start_with(&LOGS)
    }

    /// The same without a log of statements.
    pub fn start_quiet() -> Self {
        Self::start_with(&[])
    }

    /// The same as [`Self::start`]; it speaks TLS as well.
    pub fn start_tls() -> Self {
        let tls = ["ssl=on", "ssl_cert_file=../certificate", "ssl_key_file=../key"];
        Self::start_with(&[&LOGS[..], &tls].concat())
    }

    fn start_with(settings: &[&str]) -> Self {
        let folder = fixture::folder(&[("password", PASSWORD)]);
        certify(folder.path());
        let path = |name: &str| folder.path().join(name);
        let port = free_port();
        let made = as_user(program("initdb"), folder.path())
            .args(["--username=orders", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"])
            .arg("--pwfile=password")
            .arg("data")
            .output()
            .expect("PostgreSQL is there: tests/run.sh");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(path("log")).expect("a file");
        let mut command = as_user(program("postgres"), folder.path());
        command.args(["-D", "data", "-k"]).arg(folder.path()).args(["-p", &port.to_string()]);
        let always = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=60"];
        for setting in always.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        let mut postgres = Self { child, folder, port };
        let ready = poll(LONG, || {
            let ended = postgres.child.try_wait().expect("a child");
            assert!(ended.is_none(), "PostgreSQL ended:\n{}", postgres.log());
            postgres.log().contains("ready to accept connections").then_some(())
        });
        assert!(ready.is_some(), "PostgreSQL is not ready:\n{}", postgres.log());
        postgres.create_database();
        postgres
    }

    fn create_database(&self) {
        let made = as_user(program("psql"), self.folder.path())
            .arg("-h")
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string(), "-U", "orders", "-d", "postgres", "-c", "CREATE DATABASE orders"])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .expect("psql is there: tests/run.sh");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// The URL of its TCP port.
    pub fn url(&self) -> String {
        format!("postgres://orders:{PASSWORD}@127.0.0.1:{}/orders", self.port)
    }

    /// The URL of its TCP port over TLS, whose certificate nobody need know.
    pub fn tls_url(&self) -> String {
        self.url() + "?sslmode=require"
    }

    /// The URL of its Unix socket.
    pub fn unix_url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://orders:{PASSWORD}@{folder}:{}/orders", self.port)
    }

    /// As reports name its port.
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As reports name its Unix socket.
    pub fn unix_peer(&self) -> String {
        format!("unix:{}/.s.PGSQL.{}", self.folder.path().display(), self.port)
    }

    /// What it says of itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The statements that it has run, each on one line, with what it says of the parameters left out.
    pub fn statements(&self) -> Vec<String> {
        statements(&self.log())
    }
}

/// A line of the log that begins with a tab goes on from the one before. Of a prepared statement, parsing and binding are
/// logged as well.
fn statements(log: &str) -> Vec<String> {
    let whole = log.replace("\n\t", " ");
    let statement = |line: &str| {
        let (_, said) = line.split_once(" ms  ")?;
        let (how, text) = said.split_once(": ")?;
        (how == "statement" || how.starts_with("execute "))
            .then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    whole.lines().filter_map(statement).collect()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It ends its own processes, and does not wait for clients.
        // SAFETY: the process is our own child, and was not waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGQUIT) };
        let _ = self.child.wait();
    }
}

/// A program of PostgreSQL's: Debian keeps those of the server out of everybody's way.
fn program(name: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let of_path = std::env::split_paths(&folders).map(|folder| folder.join(name));
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let of_debian = versions.map(|version| version.path().join("bin").join(name));
    of_path.chain(of_debian).find(|path| Path::exists(path)).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_statements() {
        let log = "[7] LOG:  database system is ready to accept connections\n\
            [8] LOG:  duration: 0.100 ms  parse sqlx_s_1: SELECT 1\n\
            [8] LOG:  duration: 0.100 ms  bind sqlx_s_1: SELECT 1\n\
            [8] DETAIL:  parameters: $1 = '7'\n\
            [8] LOG:  duration: 0.100 ms  execute sqlx_s_1: SELECT\n\t  1\n\
            [9] LOG:  duration: 1.000 ms  statement: BEGIN\n";
        assert_eq!(statements(log), ["SELECT 1", "BEGIN"]);
    }
}
