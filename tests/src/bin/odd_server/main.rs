//! A server that knows no HTTP: it plays the steps that its arguments tell, over sockets of the kinds
//! and by the system calls that its arguments tell.
//!
//!     odd_server [--listen WHERE]... [--io WAY] [--accept] [--dup] [--threads] [--serve N] -- STEP...

mod connection;
mod listeners;
mod options;
mod steps;
mod transport;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use connection::Connection;
use listeners::Listener;
use options::Options;

fn main() {
    let options = Arc::new(Options::parse(std::env::args().skip(1)));
    if let Some(code) = options.exit {
        std::process::exit(code);
    }
    if options.io_uring {
        println!("io_uring {}", listeners::set_up_io_uring());
    }
    let served = Arc::new(AtomicUsize::new(0));
    let listeners: Vec<Listener> = options.listen.iter().flat_map(|place| Listener::open(place)).collect();
    for listener in listeners {
        let (options, served) = (Arc::clone(&options), Arc::clone(&served));
        std::thread::spawn(move || accept_all(&listener, &options, &served));
    }
    loop {
        std::thread::park();
    }
}

fn accept_all(listener: &Listener, options: &Arc<Options>, served: &Arc<AtomicUsize>) {
    println!("listening {}", listener.name);
    loop {
        let accepted = if options.plain_accept { listener.accept() } else { listener.accept4() };
        let (options, served) = (Arc::clone(options), Arc::clone(served));
        std::thread::spawn(move || serve(accepted, &options, &served));
    }
}

fn serve(accepted: OwnedFd, options: &Options, served: &AtomicUsize) {
    // A peer that is gone is what many of the tests are about.
    let _ = Connection::new(accepted, options).play(&options.steps);
    let count = served.fetch_add(1, Ordering::Relaxed) + 1;
    if options.serve == Some(count) {
        std::process::exit(0);
    }
}
