//! The arguments; a wrong one is a mistake in a test, and ends the process.

use crate::steps::Step;
use crate::transport::Way;

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// Where to listen; nowhere if none is given.
    pub(crate) listen: Vec<String>,
    pub(crate) way: Way,
    /// `accept` instead of `accept4`.
    pub(crate) plain_accept: bool,
    /// Read from a duplicate of the connection's descriptor.
    pub(crate) duplicate: bool,
    /// Send on another thread than the one that reads.
    pub(crate) threads: bool,
    /// Exit after so many connections.
    pub(crate) serve: Option<usize>,
    /// Exit at once.
    pub(crate) exit: Option<i32>,
    /// Create an `io_uring` at the start.
    pub(crate) io_uring: bool,
    pub(crate) steps: Vec<Step>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self::default();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().expect("a value after the flag");
            match flag.as_str() {
                "--listen" => options.listen.push(value()),
                "--io" => options.way = Way::named(&value()),
                "--accept" => options.plain_accept = true,
                "--dup" => options.duplicate = true,
                "--threads" => options.threads = true,
                "--serve" => options.serve = Some(value().parse().expect("a number")),
                "--exit" => options.exit = Some(value().parse().expect("a number")),
                "--io-uring" => options.io_uring = true,
                "--" => break,
                other => panic!("unknown flag {other}"),
            }
        }
        options.steps = arguments.map(|step| Step::parse(&step)).collect();
        options
    }
}
