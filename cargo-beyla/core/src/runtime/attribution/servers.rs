//! The requests that each process has open, and the threads that serve them where there are no tasks.

use hashbrown::HashMap;

use super::Operator;
use crate::model::call::{CallOf, Certainty};

/// The processes that are known at a time.
const SERVERS_MAX: usize = 4096;

/// The threads of a process that are known to serve requests at a time.
const THREADS_MAX: usize = 16 * 1024;

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
    /// How many requests are open, and the sum of their numbers: the number of the only one, if it is only one.
    open: u64,
    sum: u64,
    /// How many have been opened.
    opened: u64,
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

/// The only request of a process at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone {
    request: u64,
    /// How many had been opened then.
    opened: u64,
}

impl Servers {
    fn enter(&mut self, process: u32) -> &mut Server {
        if self.known.len() >= SERVERS_MAX && !self.known.contains_key(&process) {
            self.known.retain(|_, server| server.open > 0);
        }
        self.known.entry(process).or_default()
    }

    /// A request is open.
    pub(super) fn opened(&mut self, process: u32, request: u64) {
        let server = self.enter(process);
        server.open += 1;
        server.opened += 1;
        server.sum = server.sum.wrapping_add(request);
    }

    /// A request is open no longer.
    pub(super) fn closed(&mut self, process: u32, request: u64) {
        if let Some(server) = self.known.get_mut(&process) {
            server.open = server.open.saturating_sub(1);
            server.sum = server.sum.wrapping_sub(request);
        }
    }

    /// The ids of its tasks are known, so threads say nothing.
    pub(super) fn has_tasks(&mut self, process: u32) {
        self.enter(process).has_tasks = true;
    }

    /// Whether no request is open.
    pub(super) fn is_idle(&self, process: u32) -> bool {
        self.known.get(&process).is_none_or(|server| server.open == 0)
    }

    /// The only request that is open.
    pub(super) fn alone(&self, process: u32) -> Option<Alone> {
        let server = self.known.get(&process).filter(|server| server.open == 1)?;
        Some(Alone { request: server.sum, opened: server.opened })
    }

    /// The request that was alone, if it is still open and no other has been since.
    pub(super) fn still_alone(&self, process: u32, alone: &Alone) -> Option<u64> {
        let server = self.known.get(&process)?;
        (server.open == 1 && server.opened == alone.opened).then_some(alone.request)
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
