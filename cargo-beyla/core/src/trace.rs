//! Events -> the summary of a run: the one entrance to the pure core.
//!
//! Exchanges, the runtime and the analysis stand side by side here: what has ended in [`crate::exchange`] is handed to
//! [`crate::analysis`] after each event.

mod calls;
mod finished;
mod requests;

use std::time::Duration;

use cargo_beyla_events::{SPAWNED_BLOCKING, Spawned, tcp_state};
use hashbrown::{HashMap, HashSet};

use crate::analysis::findings;
use crate::analysis::suite::{Suite, Within};
use crate::event::{Event, Key, Listen, Lost, Moment, Open, Operation, SqliteExecution, StackFrames, TaskType};
use crate::exchange::connections::{CONNECTIONS_MAX, Connections};
use crate::exchange::route::RouteTable;
use crate::exchange::run_state::RunState;
use crate::exchange::sqlite::SqliteCalls;
use crate::model::call::{Dropped, Finished};
use crate::model::connection::Listener;

use crate::model::summary::{Summary, Totals};
use crate::model::system_call::Architecture;
use crate::model::test::{EndedTest, TestId};
use crate::runtime::tracker::{RuntimeTracker, TaskId};
use crate::transport::segment::Io;
use requests::EndedRequests;

/// The listening sockets that are named.
const LISTENING_MAX: usize = 256;

/// The settings of a trace.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Which paths belong to which route.
    pub routes: RouteTable,
    /// How many requests are kept one by one: the slowest.
    pub max_requests: usize,
    /// A poll that takes this long or longer blocks its thread.
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
    connections: Connections,
    sqlite: SqliteCalls,
    state: RunState,
    ended: EndedRequests,
    listening: Vec<Listener>,
    /// When the server was asked to end, in nanoseconds.
    stopping_ns: u64,
    /// For how long everything that is traced was stopped, as by ^Z, in nanoseconds.
    paused_ns: u64,
    /// Why spawns are not seen.
    spawns_unseen: String,
    /// Which calls are not seen, and why.
    calls_unseen: String,
    lost: Lost,
    block_threshold: Duration,
    architecture: Architecture,
    /// In a run that traces several processes: the process of each connection that is about to be opened.
    owners: HashMap<u64, u32>,
    /// Connections of programs that are not followed.
    foreign: HashSet<u64>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Requests so far, those under way included.
    pub requests: u64,
    /// The requests among them that the server has failed.
    pub errors: u64,
    /// The 99th percentile of the total times of the requests completed in the last seconds, in
    /// nanoseconds; `None` if there were none.
    pub p99_ns: Option<u64>,
}

impl Trace {
    /// A trace that has seen nothing.
    pub fn new(mut settings: TraceSettings) -> Self {
        let ended = EndedRequests::new(&mut settings);
        Self {
            connections: Connections::default(),
            sqlite: SqliteCalls::default(),
            state: RunState::new(settings.routes, settings.track_request_headers),
            ended,
            listening: Vec::new(),
            stopping_ns: u64::MAX,
            paused_ns: 0,
            spawns_unseen: String::new(),
            calls_unseen: String::new(),
            lost: Lost::default(),
            block_threshold: settings.block_threshold,
            architecture: settings.architecture,
            owners: HashMap::new(),
            foreign: HashSet::new(),
        }
    }

    /// Takes the next event.
    pub fn record(&mut self, event: &Event<'_>) {
        self.take(event);
        if !self.state.ended.is_empty() || !self.state.ended_calls.is_empty() {
            self.count_ended();
        }
    }

    /// Hands what has ended to the analysis.
    fn count_ended(&mut self) {
        let RunState { ended, ended_calls, calls, route_names, runtime, .. } = &mut self.state;
        self.ended.calls.any = *calls > 0;
        for call in &*ended_calls {
            self.ended.add_call(call);
        }
        ended_calls.clear();
        for request in &*ended {
            self.ended.add(request, route_names, runtime.as_deref_mut());
        }
        ended.clear();
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Listen(listen) => self.listen(listen),
            Event::Open(open) => self.open(open),
            Event::Arrival(arrival) => self.connections.arrived(arrival),
            Event::Delivered(arrival) => {
                if let Some(connection) = self.connections.get_mut(arrival.header.connection) {
                    connection.delivered(arrival.sequence, arrival.header.time_ns, &mut self.state);
                }
            }
            Event::Receive(operation) => self.moved(Io::Receive, operation),
            Event::Send(operation) => self.moved(Io::Send, operation),
            Event::State(change) => {
                if change.new == tcp_state::CLOSE {
                    self.foreign.remove(&change.header.connection);
                }
                self.connections.closing(change, self.stopping_ns, &mut self.state);
            }
            Event::IoUring(_) => self.state.unseen.io_urings += 1,
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
            Event::Stopping(Moment { time_ns }) => self.stopping_ns = self.stopping_ns.min(*time_ns),
            Event::Sending(sending) => {
                if let Some(connection) = self.connections.get_mut(sending.header.connection) {
                    connection.sending(sending, &mut self.state);
                }
            }
            Event::SendBlocked(sending) => {
                if let Some(connection) = self.connections.get_mut(sending.header.connection) {
                    connection.send_blocked(sending, &mut self.state);
                }
            }
            Event::Explained(unseen) => self.explained(unseen, true),
            Event::AutoExplained(unseen) => self.explained(unseen, false),
            Event::SpawnsUnseen(reason) => (*reason).clone_into(&mut self.spawns_unseen),
            Event::CallsUnseen(reason) => (*reason).clone_into(&mut self.calls_unseen),
            Event::Task(change) => {
                // Between windows wakes are not seen, so they say nothing about calls.
                let is_probed = self.state.runtime.as_ref().is_some_and(|runtime| !runtime.sees_polls());
                if self.state.client_connections > 0 && is_probed {
                    self.state.task(change);
                }
                self.explain(event);
            }
            Event::Spawned(spawned) => self.spawned(spawned),
            Event::Key(key) => self.key(key),
            Event::Sqlite(execution) => self.sqlite(execution),
            Event::TaskType(_)
            | Event::OffCpu(_)
            | Event::Sample(_)
            | Event::UnwoundStack(_)
            | Event::StackFrames(_)
            | Event::WindowOpened(_)
            | Event::WindowClosed(_) => self.explain(event),
            Event::Owner(owner) => {
                if let Some(suite) = &mut self.ended.suite {
                    suite.owns(owner);
                }
                if self.owners.len() < CONNECTIONS_MAX {
                    self.owners.insert(owner.header.connection, owner.process);
                }
            }
            Event::Forked(_) | Event::Executed(_) | Event::Exited(_) | Event::TestStarted(_) | Event::TestEnded(_) => {
                self.suite(event);
            }
            // The first two are for the symbols to make others of.
            Event::Stack(_)
            | Event::Vtable(_)
            | Event::Exec(_)
            | Event::Ready(_)
            | Event::Failed(_)
            | Event::Unknown(_) => {}
        }
    }

    /// The run opens what requests waited for; `unseen` is what cannot be seen. Probes tell of each poll if it `is_probed`.
    fn explained(&mut self, unseen: &str, is_probed: bool) {
        let new = || Box::new(RuntimeTracker::new(self.block_threshold, self.architecture, is_probed));
        self.state.runtime.get_or_insert_with(new).unseen(unseen);
    }

    /// Takes an event that only `--explain` is for.
    fn explain(&mut self, event: &Event<'_>) {
        let suite = &self.ended.suite;
        let task = |process: u32, id: u64| TaskId::new(numbered(suite.as_ref(), process), id);
        let Some(runtime) = &mut self.state.runtime else {
            return;
        };
        match event {
            Event::Task(change) => runtime.task(change, task(change.process, change.id)),
            Event::TaskType(TaskType { vtable, name }) => runtime.task_type(*vtable, name),
            Event::OffCpu(off) => runtime.off_cpu(off, task(off.process, off.task)),
            Event::Sample(sample) => runtime.sample(sample, task(sample.process, sample.task)),
            Event::WindowOpened(_) => runtime.window_opened(),
            Event::WindowClosed(_) => runtime.window_closed(),
            Event::UnwoundStack(stack) => runtime.stack(stack, task(stack.process, stack.task)),
            Event::StackFrames(StackFrames { stack, frames }) => runtime.frames(*stack, frames),
            _ => {}
        }
    }

    /// Takes an event of a process or of a test.
    fn suite(&mut self, event: &Event<'_>) {
        let Some(suite) = &mut self.ended.suite else {
            return;
        };
        match event {
            Event::Forked(forked) => suite.forked(forked),
            Event::Executed(executed) => suite.executed(executed),
            Event::Exited(exited) => {
                if let Some(owner) = suite.owner(exited.process) {
                    self.connections.process_ended(owner.pid);
                }
                suite.exited(exited);
                if let Some(runtime) = &mut self.state.runtime {
                    runtime.process_ended(exited.process, exited.header.time_ns);
                }
            }
            Event::TestStarted(started) => suite.test_started(started),
            Event::TestEnded(ended) => suite.test_ended(ended),
            Event::Paused(paused) => suite.paused(paused),
            _ => {}
        }
    }

    /// How many requests of a test have ended so far.
    pub fn requests_of(&self, test: TestId) -> u64 {
        self.ended.suite.as_ref().map_or(0, |suite| suite.requests_of(test))
    }

    /// Where the process listens so far, in the order in which it began to.
    pub fn listening(&self) -> &[Listener] {
        &self.listening
    }

    /// How the run stands at `now_ns`, by the clock of the events.
    pub fn live(&mut self, now_ns: u64) -> Live {
        Live { requests: self.state.requests, errors: self.ended.errors, p99_ns: self.ended.recent.p99(now_ns) }
    }

    /// Hands out the requests and the calls that have ended since it did so last. To be called often: what there is no
    /// room for meanwhile is counted in [`Self::finished_dropped`].
    pub fn take_finished(&mut self, take: impl FnMut(Finished)) {
        self.ended.finished.take(take);
    }

    /// The requests and the calls that [`Self::take_finished`] should have handed out and had no room for.
    pub fn finished_dropped(&self) -> Dropped {
        self.ended.finished.dropped()
    }

    /// Hands out the tests that are over since it did so last, if they have spans: of those that passed, only such
    /// as have served requests.
    pub fn take_ended_tests(&mut self, take: impl FnMut(EndedTest)) {
        let EndedRequests { suite, identities, .. } = &mut self.ended;
        if let Some(suite) = suite {
            suite.take_ended(|test| identities.test(test), take);
        }
    }

    /// Ends what is under way at `now_ns`: it stays open. To be called after the last event.
    pub fn close(&mut self, now_ns: u64) {
        if let Some(runtime) = &mut self.state.runtime {
            runtime.stop(now_ns);
        }
        self.connections.finish(now_ns, &mut self.state);
        self.count_ended();
        if let Some(suite) = &mut self.ended.suite {
            suite.close(now_ns);
        }
    }

    /// Ends the run at `now_ns`, with [`Self::close`] if that has not been called.
    pub fn finish(mut self, now_ns: u64) -> Summary {
        self.close(now_ns);
        let RunState {
            connections, requests, mut unseen, tls, runtime, client_connections, calls: calls_count, ..
        } = self.state;
        let EndedRequests { slowest, calls, call_findings, statistics, suite, identities, errors, incomplete, .. } =
            self.ended;
        let (tests, served) =
            suite.map(|suite| suite.into_summaries(now_ns, |test| identities.test(test))).unwrap_or_default();
        unseen.unattributed_calls = calls.unattributed;
        let (call_errors, requests_not_kept) = (calls.errors, slowest.not_kept());
        let mut requests_kept = slowest.into_requests();
        let (calls, call_summaries) = calls.into_calls(&mut requests_kept, &served);
        let totals = Totals {
            connections,
            requests,
            errors,
            incomplete,
            requests_not_kept,
            calls: calls_count,
            call_errors,
            calls_not_kept: calls_count.saturating_sub(calls.len() as u64),
            client_connections,
        };
        unseen.lost_records = self.lost.records;
        unseen.skipped_probes = self.lost.skipped;
        unseen.failed_reads = self.lost.failed_reads;
        unseen.out_of_step = self.lost.out_of_step;
        unseen.untracked_connections = unseen.untracked_connections.saturating_add(self.lost.connections);
        let explained =
            runtime.map(|runtime| findings::explained(runtime.finish(), &statistics, &totals, &mut requests_kept));
        let call_findings = call_findings.into_findings(&statistics);
        Summary {
            totals,
            listening: self.listening.into_iter().map(|listener| listener.local).collect(),
            paused_ns: self.paused_ns,
            spawns_unseen: self.spawns_unseen,
            calls_unseen: self.calls_unseen,
            total: statistics.total(),
            routes: statistics.into_summaries(),
            requests: requests_kept,
            calls,
            call_summaries,
            unseen,
            tls: tls.into_summary(),
            explained,
            call_findings,
            tests,
        }
    }

    fn listen(&mut self, listen: &Listen) {
        let pid = match &self.ended.suite {
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
        let owner = match (self.owners.remove(&open.connection), &self.ended.suite) {
            (Some(process), Some(suite)) => match suite.owner(process) {
                None => {
                    self.state.unseen.foreign_connections += 1;
                    if self.foreign.len() < CONNECTIONS_MAX {
                        self.foreign.insert(open.connection);
                    }
                    return;
                }
                owner => owner,
            },
            _ => None,
        };
        if let Some(suite) = &mut self.ended.suite {
            suite.takes(open);
        }
        self.connections.open(open, owner, &mut self.state);
    }

    fn spawned(&mut self, spawned: &Spawned) {
        let Spawned { header, parent, child, thread, .. } = *spawned;
        let process = numbered(self.ended.suite.as_ref(), spawned.process);
        self.state.attribution.spawned(process, parent, child, header.time_ns);
        if let (Some(runtime), Some(child)) = (&mut self.state.runtime, TaskId::new(process, child)) {
            let is_blocking = header.flags & SPAWNED_BLOCKING != 0;
            runtime.spawned_with_id(TaskId::new(process, parent), child, is_blocking, thread, header.time_ns);
        }
    }

    fn key(&mut self, key: &Key) {
        let process = match &self.ended.suite {
            Some(suite) if key.process != 0 => match suite.owner(key.process) {
                Some(owner) => owner.pid,
                // What a program does that is not followed is not read.
                None => return,
            },
            _ => 0,
        };
        self.connections.key_came(process, key, &mut self.state);
    }

    fn sqlite(&mut self, execution: &SqliteExecution<'_>) {
        let owner = match &self.ended.suite {
            Some(suite) if execution.process != 0 => match suite.owner(execution.process) {
                None => return,
                owner => owner,
            },
            _ => None,
        };
        self.sqlite.executed(execution, owner, &mut self.state);
    }

    fn moved(&mut self, io: Io, operation: &Operation<'_>) {
        if self.foreign.is_empty() || !self.foreign.contains(&operation.transfer.header.connection) {
            self.connections.moved(io, operation, &mut self.state);
        }
    }
}

/// How records of connections number a process that others name by its number in records of the kernel; 0 where a single
/// process is traced.
fn numbered(suite: Option<&Suite>, process: u32) -> u32 {
    suite.and_then(|suite| suite.owner(process)).map_or(0, |owner| owner.pid)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod properties_of_events;
#[cfg(test)]
mod tests;
