//! A server that is more than one process, or is given its socket: on the port of `PORT` of 127.0.0.1, or of all
//! addresses with `[::]` as its second argument.
//!
//! `prefork` listens and serves in two processes that it forks; `respawn` has another process of its own program serve;
//! `descriptor` serves on file descriptor 3; `pass PROGRAM ARGUMENTS...` listens and becomes another program that has the
//! socket as file descriptor 3. Each response holds the id of the process that sent it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where systemd and its like pass the first socket.
const GIVEN: i32 = 3;
const WORKERS: usize = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &words[..] {
        ["prefork"] => prefork(&listen("127.0.0.1")),
        ["respawn"] => {
            give(listen("127.0.0.1"));
            let program = std::env::current_exe().expect("its own path");
            Command::new(program).arg("descriptor").status().expect("it starts");
        }
        // SAFETY: nobody else has it.
        ["descriptor"] => serve(&unsafe { TcpListener::from_raw_fd(GIVEN) }),
        ["pass", program, rest @ ..] => {
            give(listen("127.0.0.1"));
            panic!("{}", Command::new(program).args(rest).exec());
        }
        ["serve", host] => serve(&listen(host)),
        _ => panic!("unknown arguments: {words:?}"),
    }
}

fn listen(host: &str) -> TcpListener {
    let port = std::env::var("PORT").expect("a port");
    let listener = TcpListener::bind(format!("{host}:{port}")).expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("it is bound"));
    listener
}

/// Makes it what a program finds that is executed from here on.
fn give(listener: TcpListener) {
    // It stays open.
    let descriptor = listener.into_raw_fd();
    // SAFETY: two numbers; nothing else is open there.
    let given = unsafe {
        if descriptor == GIVEN { libc::fcntl(GIVEN, libc::F_SETFD, 0) } else { libc::dup2(descriptor, GIVEN) }
    };
    assert!(given >= 0, "the socket cannot be given");
}

fn prefork(listener: &TcpListener) {
    for _ in 0..WORKERS {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } == 0 {
            serve(listener);
        }
    }
    // SAFETY: no status is asked for.
    while unsafe { libc::wait(std::ptr::null_mut()) } > 0 {}
}

/// One connection after the other.
fn serve(listener: &TcpListener) {
    loop {
        let (connection, _) = listener.accept().expect("a client");
        answer(&connection);
    }
}

fn answer(mut connection: &TcpStream) {
    let mut lines = BufReader::new(connection).lines();
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            let body = format!("{:08}", std::process::id());
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if connection.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }
}
