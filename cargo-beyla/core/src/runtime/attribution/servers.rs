//! The requests that each process has open, and the threads that serve them where there are no tasks.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use super::Operator;
use crate::model::call::{CallOf, Certainty};
use crate::model::connection::Endpoint;

/// The processes that are known at a time.
const SERVERS_MAX: usize = 4096;

/// The threads of a process that are known to serve requests at a time.
const THREADS_MAX: usize = 16 * 1024;

/// At least this number of a process's requests is remembered after their end: a call may be judged some time after its
/// own.
const CLOSED_MAX: usize = 128;

/// The addresses of a process that are known at a time.
const ADDRESSES_MAX: usize = 1024;

/// So many requests must have been answered by the threads that read them, beside others, before it is certain that
/// each thread serves one request at a time.
const PROVEN: u32 = 16;

/// All processes, by the numbers that operators have for them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    known: HashMap<u32, Server>,
}

/// One process.
#[derive(Debug, Default)]
struct Server {
    /// Those that are open and the last that were, in the order in which they were opened, which is that of their
    /// numbers.
    requests: VecDeque<Open>,
    /// How many of `requests` are open.
    open: usize,
    /// From when on `requests` is complete, in nanoseconds.
    known_from_ns: u64,
    /// Where it has accepted connections.
    addresses: HashSet<Endpoint>,
    /// Whether it has tasks whose ids are known.
    has_tasks: bool,
    threads: Threads,
}

/// The threads of a process without tasks.
#[derive(Debug, Default)]
struct Threads {
    /// The requests that each has read and that are not answered.
    reading: HashMap<u32, Vec<u64>>,
    /// A thread has read a request before it had answered another, or has answered what another has read.
    are_mixed: bool,
    /// The requests that were answered by the threads that read them, beside others.
    proven: u32,
}

/// When a request was open, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Open {
    request: u64,
    from_ns: u64,
    /// `u64::MAX` while it is open.
    until_ns: u64,
}

/// The requests that were open at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenRequests {
    None,
    /// Only this one, until a moment in nanoseconds, which is `u64::MAX` while it is open.
    Only {
        request: u64,
        until_ns: u64,
    },
    /// Several, or nobody knows any more.
    Other,
}

impl Server {
    fn close(&mut self, request: u64, until_ns: u64) {
        let place = self.requests.binary_search_by_key(&request, |open| open.request);
        if let Ok(place) = place
            && let Some(open) = self.requests.get_mut(place).filter(|open| open.until_ns == u64::MAX)
        {
            open.until_ns = until_ns.max(open.from_ns);
            self.open -= 1;
        }
        if self.requests.len() - self.open > 2 * CLOSED_MAX {
            let (mut left, known_from_ns) = (CLOSED_MAX, &mut self.known_from_ns);
            self.requests.retain(|open| {
                let goes = left > 0 && open.until_ns != u64::MAX;
                if goes {
                    left -= 1;
                    *known_from_ns = open.until_ns.max(*known_from_ns);
                }
                !goes
            });
        }
    }
}

impl Servers {
    fn enter(&mut self, process: u32) -> &mut Server {
        if self.known.len() >= SERVERS_MAX && !self.known.contains_key(&process) {
            self.known.retain(|_, server| server.open > 0);
        }
        self.known.entry(process).or_default()
    }

    /// A process has accepted a connection at this address.
    pub(super) fn accepted(&mut self, process: u32, address: &Endpoint) {
        let addresses = &mut self.enter(process).addresses;
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(address) {
            addresses.insert(address.clone());
        }
    }

    /// Whether a process has accepted connections at this address.
    pub(super) fn accepts(&self, process: u32, address: &Endpoint) -> bool {
        self.known.get(&process).is_some_and(|server| server.addresses.contains(address))
    }

    /// A request is open.
    pub(super) fn opened(&mut self, process: u32, request: u64, from_ns: u64) {
        let server = self.enter(process);
        server.open += 1;
        server.requests.push_back(Open { request, from_ns, until_ns: u64::MAX });
    }

    /// A request is open no longer.
    pub(super) fn closed(&mut self, process: u32, request: u64, until_ns: u64) {
        if let Some(server) = self.known.get_mut(&process) {
            server.close(request, until_ns);
        }
    }

    /// The ids of its tasks are known, so threads say nothing.
    pub(super) fn has_tasks(&mut self, process: u32) {
        self.enter(process).has_tasks = true;
    }

    /// The requests that were open at this moment, in nanoseconds.
    pub(super) fn open_at(&self, process: u32, at_ns: u64) -> OpenRequests {
        let Some(server) = self.known.get(&process) else { return OpenRequests::None };
        if at_ns < server.known_from_ns {
            return OpenRequests::Other;
        }
        let is_open = |open: &&Open| open.from_ns <= at_ns && open.until_ns >= at_ns;
        let mut found = server.requests.iter().rev().filter(is_open);
        match (found.next(), found.next()) {
            (None, _) => OpenRequests::None,
            (Some(&Open { request, until_ns, .. }), None) => OpenRequests::Only { request, until_ns },
            (Some(_), Some(_)) => OpenRequests::Other,
        }
    }

    /// A thread that polls no task has read a request.
    pub(super) fn read_by_thread(&mut self, reader: Operator, request: u64) {
        let Server { has_tasks, threads, .. } = self.enter(reader.process);
        if *has_tasks || threads.are_mixed {
            return;
        }
        if threads.reading.len() >= THREADS_MAX {
            threads.reading.retain(|_, requests| !requests.is_empty());
            threads.are_mixed |= threads.reading.len() >= THREADS_MAX;
        }
        let requests = threads.reading.entry(reader.thread).or_default();
        threads.are_mixed |= !requests.is_empty();
        requests.push(request);
    }

    /// A request that `reader` has read is answered.
    pub(super) fn answered_by_thread(&mut self, reader: Operator, by: Operator, request: u64) {
        let Some(Server { open, threads, .. }) = self.known.get_mut(&reader.process) else { return };
        if let Some(requests) = threads.reading.get_mut(&reader.thread) {
            requests.retain(|other| *other != request);
        }
        match by.thread {
            0 => {}
            thread if thread != reader.thread => threads.are_mixed = true,
            _ => threads.proven = threads.proven.saturating_add(u32::from(*open > 0)),
        }
    }

    /// The request that a thread without a task serves, if each thread serves one at a time.
    pub(super) fn of_thread(&self, maker: Operator) -> Option<CallOf> {
        let Server { threads, .. } = self.known.get(&maker.process).filter(|server| !server.has_tasks)?;
        let [request] = threads.reading.get(&maker.thread).filter(|_| !threads.are_mixed)?[..] else { return None };
        let certainty = if threads.proven >= PROVEN { Certainty::Certain } else { Certainty::Likely };
        Some(CallOf { request, certainty })
    }
}
