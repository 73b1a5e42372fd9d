//! Servers that a traced server calls, each with a record of its own of what it was asked: the truth from outside.

pub mod mariadb;
pub mod postgres;
pub mod prices;
pub mod redis;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// A service of HTTP that answers the same to each request, and the address where it is. It closes a connection if the
/// answer says so.
pub fn service(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|count| count > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() || answer.contains("connection: close") {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// The user `nobody`, and its group.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    // SAFETY: no arguments, and it cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Gives a file to the user who runs the commands of [`as_user`].
fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
}

/// Puts a certificate for `localhost` and its key into a folder, as `certificate` and `key`; only their owner may read the
/// key.
fn certify(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    for (name, pem) in [("certificate", made.cert.pem()), ("key", made.signing_key.serialize_pem())] {
        let path = folder.join(name);
        fs::write(&path, pem).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        give(&path);
    }
}

/// A command that runs as an ordinary user, since PostgreSQL and MariaDB refuse root, in a folder that is that user's.
fn as_user(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    give(folder);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir(folder);
    command
}
