//! Workspaces and programs that tests make for themselves.
//!
//! The kernel does not start a file that anybody has open for writing ("Text file busy"), and a process that another
//! thread has just forked has all that we had open. So programs are written by other processes: none of ours ever has
//! them open.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Files of a folder of its own; each path and its content.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::Builder::new().prefix("beyla-test-").tempdir().expect("a folder");
    write(root.path(), files);
    root
}

/// Writes files below a folder.
pub fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
}

/// Copies an executable that is to be started.
pub fn copy_executable(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success(), "{} is not copied", from.display());
}

/// Writes a shell script that is to be started.
pub fn script(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat >\"$0\" && chmod +x \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = shell.spawn().expect("a shell");
    let written = writer.stdin.take().expect("a pipe").write_all(text.as_bytes());
    assert!(written.is_ok() && writer.wait().expect("a child").success(), "{} is not written", path.display());
}

/// A manifest without dependencies, and then `rest`.
pub fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}\n\n[workspace]\n")
}

/// A server without dependencies: answers `hello` to everything on any free port of 127.0.0.1.
pub const HELLO_SERVER: &str = r#"
use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")?;
    }
    Ok(())
}
"#;
