//! A server without async: each connection has a thread of its own, or with `--pool N` waits in a
//! channel for one of N threads.
//!
//! Its handlers are those of `latency_lab` that need no runtime. `PORT` takes another port than 8082,
//! 0 any free one.

mod handlers;
mod http;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let pool: Option<usize> = match arguments.next().as_deref() {
        Some("--pool") => Some(arguments.next().and_then(|number| number.parse().ok()).expect("a number of threads")),
        Some(other) => panic!("unknown flag {other}"),
        None => None,
    };
    let port: u16 = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(io::Error::other)?,
        Err(_) => 8082,
    };
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on http://{}", listener.local_addr()?);
    match pool {
        Some(threads) => hand_to_pool(&listener, threads),
        None => thread_each(&listener),
    }
}

fn thread_each(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (connection, _) = listener.accept()?;
        std::thread::spawn(move || serve(&connection));
    }
}

fn hand_to_pool(listener: &TcpListener, threads: usize) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel::<TcpStream>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..threads {
        let receiver = Arc::clone(&receiver);
        std::thread::spawn(move || {
            // The lock is let go before the connection is served.
            let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            while let Ok(connection) = next() {
                serve(&connection);
            }
        });
    }
    loop {
        let (connection, _) = listener.accept()?;
        sender.send(connection).map_err(io::Error::other)?;
    }
}

fn serve(connection: &TcpStream) {
    // A client that is gone needs no answer.
    let _ = http::serve(connection, handlers::handle);
}
