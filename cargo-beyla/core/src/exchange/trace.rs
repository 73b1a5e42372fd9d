//! Events -> requests: the one entrance to the pure core.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cargo_beyla_events::{Lost, State, Transfer, tcp_state};
use hashbrown::{HashMap, HashSet};

use crate::event::decode::{Event, Listen, Open};
use crate::protocol::http1::Heads;
use crate::transport::connection::Connection as Streams;
use crate::transport::segment::Direction;

use crate::analysis::suite::{EndedTest, Owner, TestId, Within};
use crate::exchange::connection::Connection;
use crate::exchange::ledger::Ledger;
use crate::exchange::route::RouteTable;
use crate::model::request::{ConnectionInfo, Endpoint, Listener, Request};
use crate::model::summary::Summary;
use crate::model::system_call::Architecture;
use crate::runtime::explain::Explain;

/// The connections that are followed at a time; more than a process may have open by default.
const CONNECTIONS_MAX: usize = 256 * 1024;

/// Connections that are over and remembered for what is still to come of them: a call that was under
/// way when a reset came, requests that had arrived before it.
const CLOSED_MAX: usize = 256;

/// The listening sockets that are named.
const LISTENING_MAX: usize = 256;

/// What a trace is told before it begins.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Puts paths into routes.
    pub routes: RouteTable,
    /// How many requests are kept one by one: the slowest.
    pub max_requests: usize,
    /// What holds a thread up for so long is told of.
    pub block_threshold: Duration,
    /// Whether each request that ends is held until [`Trace::take_finished`].
    pub export: bool,
    /// Gives every request its place in a trace; random, once a run. Without one, only requests that come
    /// with a trace have one.
    pub seed: Option<u128>,
    /// Whether requests are asked, by `traceparent`, which trace they belong to.
    pub track_request_headers: bool,
    /// Which processes are followed; without it, all that there are.
    pub within: Option<Within>,
    /// Of the machine that the events come from.
    pub architecture: Architecture,
}

impl TraceSettings {
    /// Keeps `max_requests` one by one and exports none. The events are those of this machine.
    pub fn new(routes: RouteTable, max_requests: usize) -> Self {
        Self {
            routes,
            max_requests,
            block_threshold: BLOCK_THRESHOLD,
            export: false,
            seed: None,
            track_request_headers: true,
            within: None,
            architecture: Architecture::HERE,
        }
    }
}

/// The usual [`TraceSettings::block_threshold`].
pub const BLOCK_THRESHOLD: Duration = Duration::from_millis(10);

/// Makes requests of events.
#[derive(Debug)]
pub struct Trace {
    connections: HashMap<u64, Connection>,
    heads: Heads,
    /// Those that are over, the oldest first.
    closed: VecDeque<u64>,
    listening: Vec<Listener>,
    /// When the server was told to end, in nanoseconds.
    stopping_ns: u64,
    /// For how long all was stopped.
    paused_ns: u64,
    lost: Lost,
    block_threshold: Duration,
    architecture: Architecture,
    /// In a run that traces several processes: whose the connections are that are about to be told of.
    owners: HashMap<u64, u32>,
    /// Connections of programs that are not followed.
    foreign: HashSet<u64>,
    ledger: Ledger,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Requests so far, those under way included.
    pub requests: u64,
    /// Of these, those that the server has failed.
    pub errors: u64,
    /// The 99th percentile of the total times of the requests completed in the last seconds, in
    /// nanoseconds; `None` if there were none.
    pub p99_ns: Option<u64>,
}

impl Trace {
    /// A trace that has seen nothing.
    pub fn new(settings: TraceSettings) -> Self {
        Self {
            connections: HashMap::new(),
            heads: Heads::default(),
            closed: VecDeque::new(),
            listening: Vec::new(),
            stopping_ns: u64::MAX,
            paused_ns: 0,
            lost: Lost::default(),
            block_threshold: settings.block_threshold,
            architecture: settings.architecture,
            owners: HashMap::new(),
            foreign: HashSet::new(),
            ledger: Ledger::new(settings),
        }
    }

    /// Takes the next event.
    pub fn record(&mut self, event: &Event<'_>) {
        match event {
            Event::Listen(listen) => self.listen(listen),
            Event::Open(open) => self.open(open),
            Event::Arrival(arrival) => {
                if let Some(connection) = self.connections.get_mut(&arrival.header.connection) {
                    connection.arrived(arrival.sequence, arrival.header.time_ns);
                }
            }
            Event::Delivered(arrival) => {
                if let Some(connection) = self.connections.get_mut(&arrival.header.connection) {
                    connection.delivered(arrival.sequence, arrival.header.time_ns, &mut self.ledger);
                }
            }
            Event::Receive(transfer, captured) => self.moved(Direction::Request, transfer, captured.beginning()),
            Event::Send(transfer, captured) => self.moved(Direction::Response, transfer, captured.beginning()),
            Event::State(state) => self.state(state),
            Event::IoUring { .. } => self.ledger.unseen.io_urings += 1,
            Event::Lost(lost) => {
                self.lost.records = self.lost.records.max(lost.records);
                self.lost.connections = self.lost.connections.max(lost.connections);
                self.lost.skipped = self.lost.skipped.max(lost.skipped);
                self.lost.failed_reads = self.lost.failed_reads.max(lost.failed_reads);
                self.lost.out_of_step = self.lost.out_of_step.max(lost.out_of_step);
            }
            Event::Paused(paused) => {
                self.paused_ns = self.paused_ns.saturating_add(paused.after(0));
                self.suite(event);
            }
            Event::Stopping { time_ns } => self.stopping_ns = self.stopping_ns.min(*time_ns),
            Event::Sending(sending) => {
                if let Some(connection) = self.connections.get_mut(&sending.header.connection) {
                    connection.sending(sending, &mut self.ledger);
                }
            }
            Event::SendBlocked(sending) => {
                if let Some(connection) = self.connections.get_mut(&sending.header.connection) {
                    connection.send_blocked(sending, &mut self.ledger);
                }
            }
            Event::Explained(unseen) => {
                let new = || Box::new(Explain::new(self.block_threshold, self.architecture));
                self.ledger.explain.get_or_insert_with(new).unseen(unseen);
            }
            Event::Task(_)
            | Event::TaskType { .. }
            | Event::OffCpu(_)
            | Event::UnwoundStack(_)
            | Event::StackFrames { .. } => self.explain(event),
            Event::Owner(owner) => {
                if let Some(suite) = &mut self.ledger.suite {
                    suite.owns(owner);
                }
                if self.owners.len() < CONNECTIONS_MAX {
                    self.owners.insert(owner.header.connection, owner.process);
                }
            }
            Event::Forked(_)
            | Event::Executed(..)
            | Event::Exited(_)
            | Event::TestStarted { .. }
            | Event::TestEnded { .. } => self.suite(event),
            // The first two are for the symbols to make others of.
            Event::Stack(..)
            | Event::Vtable(_)
            | Event::Exec { .. }
            | Event::Ready(_)
            | Event::Failed(_)
            | Event::Unknown => {}
        }
    }

    /// Takes an event that only `--explain` is for.
    fn explain(&mut self, event: &Event<'_>) {
        let Some(explain) = &mut self.ledger.explain else {
            return;
        };
        match event {
            Event::Task(change) => explain.task(change),
            Event::TaskType { vtable, name } => explain.task_type(*vtable, name),
            Event::OffCpu(off) => explain.off_cpu(off),
            Event::UnwoundStack(stack) => explain.stack(stack),
            Event::StackFrames { stack, frames } => explain.frames(*stack, frames),
            _ => {}
        }
    }

    /// Takes an event of a process or of a test.
    fn suite(&mut self, event: &Event<'_>) {
        let Some(suite) = &mut self.ledger.suite else {
            return;
        };
        match event {
            Event::Forked(forked) => suite.forked(forked),
            Event::Executed(executed, path) => suite.executed(executed, Path::new(path)),
            Event::Exited(exited) => {
                suite.exited(exited);
                if let Some(explain) = &mut self.ledger.explain {
                    explain.process_ended(exited.process, exited.header.time_ns);
                }
            }
            Event::TestStarted { started, binary, name } => suite.test_started(started, binary, name),
            Event::TestEnded { ended, reason } => suite.test_ended(ended, reason),
            Event::Paused(paused) => suite.paused(paused),
            _ => {}
        }
    }

    /// How many requests of a test have ended so far.
    pub fn requests_of(&self, test: TestId) -> u64 {
        self.ledger.suite.as_ref().map_or(0, |suite| suite.requests_of(test))
    }

    /// Where the process listens so far, in the order in which it began to.
    pub fn listening(&self) -> &[Listener] {
        &self.listening
    }

    /// How the run stands at `now_ns`, by the clock of the events.
    pub fn live(&mut self, now_ns: u64) -> Live {
        Live {
            requests: self.ledger.totals.requests,
            errors: self.ledger.totals.errors,
            p99_ns: self.ledger.recent.p99(now_ns),
        }
    }

    /// Hands out the requests that have ended since it did so last. To be called often: what there is no
    /// room for meanwhile is counted in [`Self::finished_dropped`].
    pub fn take_finished(&mut self, take: impl FnMut(Arc<Request>)) {
        self.ledger.finished.take(take);
    }

    /// The requests that [`Self::take_finished`] should have handed out and had no room for.
    pub fn finished_dropped(&self) -> u64 {
        self.ledger.finished.dropped()
    }

    /// Hands out the tests that are over since it did so last, if they have spans: of those that passed, only such
    /// as have served requests.
    pub fn take_ended_tests(&mut self, take: impl FnMut(EndedTest)) {
        let Ledger { suite, identities, .. } = &mut self.ledger;
        if let Some(suite) = suite {
            suite.take_ended(|test| identities.test(test), take);
        }
    }

    /// Ends what is under way at `now_ns`: it stays open. To be called after the last event.
    pub fn close(&mut self, now_ns: u64) {
        if let Some(explain) = &mut self.ledger.explain {
            explain.stop(now_ns);
        }
        let mut connections: Vec<_> = self.connections.drain().collect();
        connections.sort_unstable_by_key(|(id, _)| *id);
        for (_, connection) in connections {
            connection.bury(now_ns, &mut self.ledger);
        }
        if let Some(suite) = &mut self.ledger.suite {
            suite.close(now_ns);
        }
    }

    /// Ends the run at `now_ns`, with [`Self::close`] if that has not been called.
    pub fn finish(mut self, now_ns: u64) -> Summary {
        self.close(now_ns);
        let Ledger { keeper, statistics, mut totals, mut unseen, explain, suite, identities, .. } = self.ledger;
        let tests = suite.map(|suite| suite.into_summaries(now_ns, |test| identities.test(test))).unwrap_or_default();
        totals.requests_not_kept = keeper.not_kept();
        unseen.lost_records = self.lost.records;
        unseen.skipped_probes = self.lost.skipped;
        unseen.failed_reads = self.lost.failed_reads;
        unseen.out_of_step = self.lost.out_of_step;
        unseen.untracked_connections = unseen.untracked_connections.saturating_add(self.lost.connections);
        let mut requests = keeper.into_requests();
        let explained = explain.map(|explain| explain.finish(&statistics, &totals, &mut requests));
        Summary {
            totals,
            listening: self.listening.into_iter().map(|listener| listener.local).collect(),
            paused_ns: self.paused_ns,
            total: statistics.total(),
            routes: statistics.into_summaries(),
            requests,
            unseen,
            explained,
            tests,
        }
    }

    fn listen(&mut self, listen: &Listen) {
        let pid = match &self.ledger.suite {
            Some(suite) if listen.process != 0 => match suite.owner(listen.process) {
                Some(owner) => Some(owner.pid).filter(|&pid| pid != 0),
                // What a program does that is not followed is none of the server's doing.
                None => return,
            },
            _ => None,
        };
        let Listen { local, ipv6_only, before, .. } = listen.clone();
        let known = self.listening.iter().any(|listener| listener.local == local);
        if self.listening.len() < LISTENING_MAX && !known {
            self.listening.push(Listener { local, ipv6_only, before, pid });
        }
    }

    fn open(&mut self, open: &Open) {
        let owner = match (self.owners.remove(&open.connection), &self.ledger.suite) {
            (Some(process), Some(suite)) => match suite.owner(process) {
                None => {
                    self.ledger.unseen.foreign_connections += 1;
                    if self.foreign.len() < CONNECTIONS_MAX {
                        self.foreign.insert(open.connection);
                    }
                    return;
                }
                owner => owner,
            },
            _ => None,
        };
        let streams = Streams::new(open.receive_sequence, open.send_sequence);
        self.follow(open, streams, Some((open.established_ns, open.time_ns)), owner);
    }

    /// `opened` is when it was established and accepted, if that was seen.
    fn follow(&mut self, open: &Open, streams: Streams, opened: Option<(Option<u64>, u64)>, owner: Option<Owner>) {
        if self.connections.contains_key(&open.connection) {
            return;
        }
        self.ledger.totals.connections += 1;
        if self.connections.len() >= CONNECTIONS_MAX {
            self.ledger.unseen.untracked_connections += 1;
            return;
        }
        let id = self.ledger.totals.connections;
        let info = ConnectionInfo { id, server: open.server.clone(), client: open.client.clone(), proxy: None, owner };
        self.connections.insert(open.connection, Connection::new(streams, info, opened, open.before));
    }

    fn moved(&mut self, direction: Direction, transfer: &Transfer, data: &[u8]) {
        let id = transfer.header.connection;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.moved(direction, transfer, data, &mut self.heads, &mut self.ledger);
        } else if transfer.length > 0 && self.connections.len() < CONNECTIONS_MAX && !self.foreign.contains(&id) {
            // The record that opened it was lost, and with it the addresses of its ends.
            let unknown = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
            let open = Open {
                time_ns: transfer.header.time_ns,
                connection: id,
                established_ns: None,
                server: unknown.clone(),
                client: unknown,
                receive_sequence: 0,
                send_sequence: 0,
                before: false,
            };
            self.follow(&open, Streams::default(), None, None);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.moved(direction, transfer, data, &mut self.heads, &mut self.ledger);
            }
        }
    }

    fn state(&mut self, state: &State) {
        let id = state.header.connection;
        let Some(connection) = self.connections.get_mut(&id) else {
            if state.new == tcp_state::CLOSE {
                self.foreign.remove(&id);
            }
            return;
        };
        if !connection.state(state, self.stopping_ns, &mut self.ledger) {
            return;
        }
        self.closed.push_back(id);
        if self.closed.len() > CLOSED_MAX
            && let Some(oldest) = self.closed.pop_front()
            && let Some(connection) = self.connections.remove(&oldest)
        {
            connection.bury(state.header.time_ns, &mut self.ledger);
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
