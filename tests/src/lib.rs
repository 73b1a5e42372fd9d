//! The harness of the end-to-end tests: the real binary, real servers, real sockets, the real kernel.
//!
//! A test starts a run ([`run::Run`]), is itself the client ([`client::Client`]), stops the run, and
//! holds the report ([`report::Report`]) against what it knows. [`both::both_ways`] does all that once
//! for each way of capture, and holds the two reports against each other.
//!
//! cargo test -p beyla-tests                        all, as root
//! cargo test -p beyla-tests --test transports      one theme
//! cargo bench -p beyla-tests --bench overhead      what tracing costs
//!
//! The system must have curl, sudo, useradd, runuser, prometheus, promtool, PostgreSQL, MariaDB, redis-server and chromium,
//! and wrk for the benchmark.

// What fails here fails the test, and says where.
#![allow(clippy::missing_panics_doc)]

pub mod accept;
pub mod alone;
pub mod background;
pub mod both;
pub mod browser;
pub mod bulk;
pub mod busy;
pub mod called;
pub mod calls;
pub mod client;
pub mod explanation;
pub mod fixture;
pub mod frames;
pub mod held_up;
pub mod http2;
pub mod load;
pub mod odd;
pub mod planned;
pub mod prometheus;
pub mod proxy;
pub mod receiver;
pub mod report;
pub mod rows;
pub mod run;
pub mod source;
pub mod spans;
pub mod suite;
pub mod system;
pub mod terminal;
pub mod tls;
pub mod tool;
pub mod wait;
