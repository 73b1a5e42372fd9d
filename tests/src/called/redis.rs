//! Debian's Redis.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};

use tempfile::TempDir;

use super::{as_user, certify};
use crate::fixture;
use crate::system::free_port;
use crate::wait::{LONG, poll};

/// Its password, which no report may show.
pub const PASSWORD: &str = "redispass-hunter2";

/// A server that somebody listens to; dropped, it is ended.
pub struct Redis {
    child: Child,
    folder: TempDir,
    port: u16,
    tls_port: u16,
    monitor: Option<Receiver<String>>,
}

impl Redis {
    /// On any two free ports, one of them for TLS; it can be connected to, and from now on each command is noted.
    pub fn start() -> Self {
        let folder = fixture::folder(&[]);
        certify(folder.path());
        let [port, tls_port] = [free_port(), free_port()];
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let child = as_user("redis-server", folder.path())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--tls-port", &tls_port.to_string(), "--tls-cert-file", "certificate", "--tls-key-file", "key"])
            .args(["--tls-ca-cert-file", "certificate", "--tls-auth-clients", "no"])
            .args(["--requirepass", PASSWORD, "--save", "", "--appendonly", "no", "--daemonize", "no"])
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .expect("Redis is there: tests/run.sh");
        let mut redis = Self { child, folder, port, tls_port, monitor: None };
        let stream = poll(LONG, || {
            let ended = redis.child.try_wait().expect("a child");
            assert!(ended.is_none(), "Redis ended:\n{}", redis.log());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        redis.monitor = Some(listen(stream.unwrap_or_else(|| panic!("Redis is not ready:\n{}", redis.log()))));
        redis
    }

    /// The URL of its TCP port.
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/", self.port)
    }

    /// The URL of its port for TLS, whose certificate nobody need know.
    pub fn tls_url(&self) -> String {
        format!("rediss://:{PASSWORD}@127.0.0.1:{}/#insecure", self.tls_port)
    }

    /// As reports name its port.
    pub fn peer(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The commands that have come since this was asked last, each with its arguments in quotes, as in `"GET" "a"`.
    /// AUTH is not among them: Redis keeps it to itself.
    pub fn commands(&self) -> Vec<String> {
        let mark = format!("mark-{}", std::process::id());
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        write!(stream, "AUTH {PASSWORD}\r\nECHO {mark}\r\n").expect("it reads");
        let monitor = self.monitor.as_ref().expect("it has started");
        let mut commands = Vec::new();
        loop {
            let line = monitor.recv_timeout(LONG).expect("the mark comes");
            if line.contains(&mark) {
                return commands;
            }
            // Behind the time, and the client in brackets.
            commands.extend(line.split_once("] ").map(|(_, command)| command.to_owned()));
        }
    }
}

/// Has each command told.
fn listen(mut stream: TcpStream) -> Receiver<String> {
    write!(stream, "AUTH {PASSWORD}\r\nMONITOR\r\n").expect("it reads");
    let mut lines = BufReader::new(stream).lines();
    for answer in ["to AUTH", "to MONITOR"] {
        let line = lines.next().and_then(Result::ok);
        assert_eq!(line.as_deref(), Some("+OK"), "the answer {answer}");
    }
    let (sender, receiver) = mpsc::channel();
    // It ends with the connection.
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
