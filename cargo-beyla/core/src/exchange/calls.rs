//! The calls that are under way on one connection that the process opened.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::exchange::call_in_flight::CallInFlight;
use crate::exchange::carried::TlsMessages;
use crate::exchange::run_state::RunState;
use crate::model::call::{Call, CallBoundaries, CallKind};
use crate::model::connection::{ConnectionInfo, Endpoint, Party, Role, StreamId};
use crate::model::request::{MessageBytes, Outcome};
use crate::model::tls::{Alert, Tls};
use crate::model::tls_summary::{HandshakeFailure, Unreadable};
use crate::model::trace_context::Caller;
use crate::protocol::detect::Detector;
use crate::protocol::message::{
    Command, CommandEnding, GivenUp, MessageEnd, Messages, Note, RequestHead, ResponseHead, Shared, Unfinished,
};
use crate::protocol::{mongodb, mysql};
use crate::runtime::attribution::{CallConnection, NewCall, Operator};
use crate::transport::segment::{Direction, Segment};

/// A call waited for its connection if it began at most this long after the connection was there, in nanoseconds, ...
const WAITED_NS: u64 = 1_000_000;

/// ... or at most this part of the time that the connection took, as a fraction of 1. Else the connection was opened
/// ahead.
const WAITED_SHARE: u64 = 10;

/// The calls under way on one connection, by their streams.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) info: Arc<ConnectionInfo>,
    /// Until the first call.
    opening: Option<Opening>,
    /// Why the connection cannot be read, if it cannot.
    unreadable: Option<Unreadable>,
    /// Who uses the connection.
    pub(super) users: CallConnection,
    /// Ascending.
    under_way: VecDeque<CallInFlight>,
    /// Who made the last send call.
    pub(super) sender: Operator,
    /// Return of the last receive call, in nanoseconds, and the thread that made it.
    pub(super) received_ns: u64,
    pub(super) receiver: u32,
}

/// When the connection was opened, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Opening {
    connecting_ns: u64,
    /// When calls could be made on it, once that is known.
    ready_ns: Option<u64>,
}

impl Calls {
    /// `connecting_ns` is when connect began, if that was seen.
    pub(super) fn new(info: ConnectionInfo, users: CallConnection, connecting_ns: Option<u64>) -> Self {
        Self {
            info: Arc::new(info),
            opening: connecting_ns.map(|connecting_ns| Opening { connecting_ns, ready_ns: None }),
            unreadable: None,
            sender: users.opener(),
            users,
            under_way: VecDeque::new(),
            received_ns: 0,
            receiver: 0,
        }
    }

    /// The connection is established, or its own handshake is over.
    pub(super) fn ready(&mut self, time_ns: u64) {
        if let Some(opening) = &mut self.opening {
            opening.ready_ns = Some(opening.ready_ns.map_or(time_ns, |ready_ns| ready_ns.max(time_ns)));
        }
    }

    /// The port of this end, which may have been chosen late; 0 if there is none.
    pub(super) fn bound_to(&mut self, port: u16) {
        if let Endpoint::Tcp(address) = &self.info.client
            && address.port() == 0
        {
            let address = SocketAddr::new(address.ip(), port);
            Arc::make_mut(&mut self.info).client = Endpoint::Tcp(address);
        }
    }

    /// The connection was not established: that is a call by itself.
    pub(super) fn connect_ended(
        &mut self,
        outcome: Outcome,
        error: Option<&'static str>,
        time_ns: u64,
        state: &mut RunState,
    ) {
        let Some(opening) = self.opening.take() else { return };
        let summary = state.call_texts.intern(Call::CONNECT);
        let connecting_ns = opening.connecting_ns;
        let new = NewCall { maker: self.sender, summary: &summary, start_ns: connecting_ns, begun_ns: connecting_ns };
        let start = state.attribution.begins(&mut self.users, &new);
        let boundaries = CallBoundaries {
            connecting: Some(opening.connecting_ns),
            begun: time_ns,
            ended: time_ns,
            ..CallBoundaries::default()
        };
        state.calls += 1;
        let call = CallInFlight {
            id: state.calls,
            stream: StreamId(1),
            kind: kind_of(&self.info.server),
            summary,
            text: None,
            boundaries,
            request_bytes: MessageBytes::default(),
            is_sent: true,
            response_bytes: None,
            status: None,
            grpc_status: None,
            ending: CommandEnding::default(),
            error_name: error,
            outcome: Some(outcome),
            trace: None,
            start,
        };
        state.finish_call(call, &self.users, &self.info, self.receiver);
    }

    /// Takes the messages of the connection, on which these calls are.
    pub(super) fn sink<'a>(&'a mut self, state: &'a mut RunState) -> CallSink<'a> {
        CallSink { calls: self, state }
    }

    /// All of them, which leave.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = CallInFlight> + use<> {
        std::mem::take(&mut self.under_way).into_iter()
    }

    /// When the call began to open the connection, if it had to wait for that.
    fn connecting(&mut self, begun_ns: u64) -> Option<u64> {
        let Opening { connecting_ns, ready_ns } = self.opening.take()?;
        let ready_ns = ready_ns?;
        let took = ready_ns.saturating_sub(connecting_ns);
        let waited = begun_ns.saturating_sub(ready_ns) <= WAITED_NS.max(took / WAITED_SHARE);
        waited.then_some(connecting_ns)
    }

    /// Where the call is, or where it would be.
    fn place(&self, stream: StreamId) -> Result<usize, usize> {
        self.under_way.binary_search_by_key(&stream, |call| call.stream)
    }

    fn get(&mut self, stream: StreamId) -> Option<&mut CallInFlight> {
        let place = self.place(stream).ok()?;
        self.under_way.get_mut(place)
    }

    /// Finishes a call that has ended.
    fn finish(&mut self, stream: StreamId, state: &mut RunState) {
        if let Ok(place) = self.place(stream)
            && let Some(call) = self.under_way.remove(place)
        {
            state.finish_call(call, &self.users, &self.info, self.receiver);
        }
    }
}

/// What the peer speaks by its address, before it has said anything.
fn kind_of(server: &Endpoint) -> CallKind {
    match server {
        Endpoint::Tcp(address) if address.port() == 5432 => CallKind::Postgresql,
        Endpoint::Tcp(address) if address.port() == 6379 => CallKind::Redis,
        _ if mysql::is_usual_for(server) => CallKind::Mysql,
        _ if mongodb::is_usual_for(server) => CallKind::Mongodb,
        Endpoint::Unix(path) if path.contains(".s.PGSQL.") => CallKind::Postgresql,
        Endpoint::Tcp(_) | Endpoint::Unix(_) => CallKind::Tcp,
    }
}

/// Takes the messages of one connection.
pub(super) struct CallSink<'a> {
    calls: &'a mut Calls,
    state: &'a mut RunState,
}

/// What begins a call.
struct Asked {
    kind: CallKind,
    summary: Arc<str>,
    text: Option<Arc<str>>,
    begun_ns: u64,
    header_bytes: u64,
}

impl CallSink<'_> {
    /// A call begins; `None` if it has begun before.
    fn begin(&mut self, stream: StreamId, asked: Asked) -> Option<&mut CallInFlight> {
        let (calls, state) = (&mut *self.calls, &mut *self.state);
        let place = calls.place(stream).err()?;
        let connecting = calls.connecting(asked.begun_ns);
        state.calls += 1;
        let begun_ns = asked.begun_ns;
        let start_ns = connecting.unwrap_or(begun_ns);
        let new = NewCall { maker: calls.sender, summary: &asked.summary, start_ns, begun_ns };
        let start = state.attribution.begins(&mut calls.users, &new);
        let call = CallInFlight {
            id: state.calls,
            stream,
            kind: asked.kind,
            summary: asked.summary,
            text: asked.text,
            boundaries: CallBoundaries { connecting, begun: asked.begun_ns, ..CallBoundaries::default() },
            request_bytes: MessageBytes { header: asked.header_bytes, body: Some(0) },
            is_sent: false,
            response_bytes: None,
            status: None,
            grpc_status: None,
            ending: CommandEnding::default(),
            error_name: None,
            outcome: None,
            trace: None,
            start,
        };
        calls.under_way.insert(place, call);
        calls.under_way.get_mut(place)
    }

    fn request_end(&mut self, stream: StreamId, end: &MessageEnd) {
        if let Some(call) = self.calls.get(stream).filter(|call| !call.is_sent) {
            call.is_sent = true;
            call.request_bytes.body = end.body;
            call.boundaries.sent = end.time_ns;
        }
    }

    fn response_end(&mut self, stream: StreamId, end: &MessageEnd) {
        let received_ns = self.calls.received_ns;
        let Some(call) = self.calls.get(stream) else { return };
        if let Some(bytes) = &mut call.response_bytes {
            bytes.body = end.body;
        }
        call.grpc_status = end.grpc.status;
        call.ending = end.command;
        match end.time_ns {
            Some(time_ns) => call.end(Outcome::Complete, time_ns),
            None => call.end(Outcome::NotSeen, received_ns),
        }
        self.calls.finish(stream, self.state);
    }
}

impl TlsMessages for CallSink<'_> {
    fn speaks_tls(&mut self) {
        self.state.tls.speaks_tls(Role::Client);
    }

    fn secured(&mut self, secured_ns: u64, handshake_ns: Option<u64>) {
        self.calls.ready(secured_ns);
        self.state.tls.secured(Role::Client, handshake_ns);
    }

    fn begins(&mut self, tls: &Tls) {
        Arc::make_mut(&mut self.calls.info).tls = Some(Arc::new(tls.clone()));
    }

    fn unreadable(&mut self, reason: Unreadable) {
        self.calls.unreadable = Some(reason);
        self.state.tls.unreadable(Role::Client, reason);
        self.state.give_up_client(GivenUp::Tls);
    }

    fn sealed(&mut self, segment: &Segment<'_>, protocol: &mut Detector, shared: &mut Shared) {
        if let Some(reason) = self.calls.unreadable {
            self.state.tls.sealed(Role::Client, reason, segment);
        }
        protocol.sealed(segment, shared, self);
    }

    /// Without a handshake there is no connection: that is a call by itself.
    fn failed(&mut self, failure: HandshakeFailure, time_ns: Option<u64>) {
        self.state.tls.failed(failure);
        let (outcome, error) = match failure.by {
            Party::Server => (Outcome::ServerClosed, "handshake closed"),
            Party::Client => (Outcome::ClientClosed, "handshake given up"),
        };
        let error = failure.alert.and_then(Alert::name).unwrap_or(error);
        let ready_ns = self.calls.opening.and_then(|opening| opening.ready_ns).unwrap_or(0);
        let ended_ns = time_ns.unwrap_or(self.calls.received_ns).max(ready_ns);
        self.calls.connect_ended(outcome, Some(error), ended_ns, self.state);
    }
}

impl Messages for CallSink<'_> {
    fn client(&mut self, _: Endpoint) {
        // The process is a proxy itself, and says whose request it passes on.
    }

    fn request(&mut self, stream: StreamId, head: &RequestHead<'_>) {
        let words = self.state.call_texts.of_request(head, &self.state.routes);
        let trace = head.trace.as_ref().filter(|_| self.state.track_request_headers).map(Caller::of);
        let asked = Asked {
            kind: if head.grpc.is_some() { CallKind::Grpc } else { CallKind::Http },
            summary: words.summary,
            text: Some(words.text),
            begun_ns: head.read_ns,
            header_bytes: head.bytes,
        };
        if let Some(call) = self.begin(stream, asked) {
            call.trace = trace;
        }
    }

    fn command(&mut self, stream: StreamId, command: &Command<'_>) {
        let texts = &mut self.state.call_texts;
        let asked = Asked {
            kind: command.kind,
            summary: texts.intern(command.summary),
            text: command.text.map(|text| texts.intern(text)),
            begun_ns: command.read_ns,
            header_bytes: 0,
        };
        self.begin(stream, asked);
    }

    fn aside(&mut self, time_ns: u64) {
        self.state.attribution.sends_without_call(self.calls.sender, time_ns);
    }

    fn ready(&mut self, time_ns: u64) {
        self.calls.ready(time_ns);
    }

    fn response(&mut self, stream: StreamId, head: &ResponseHead) {
        let (calls, state) = (&mut *self.calls, &mut *self.state);
        let receiver = calls.receiver;
        let Some(call) = calls.get(stream) else { return };
        call.status = head.status;
        call.boundaries.answered = head.arrived_ns;
        call.boundaries.read = Some(head.begin_ns);
        call.response_bytes = Some(MessageBytes { header: head.bytes, body: Some(0) });
        state.answer_begins(call, receiver);
    }

    fn end(&mut self, stream: StreamId, direction: Direction, end: &MessageEnd) {
        match direction {
            Direction::Request => self.request_end(stream, end),
            Direction::Response => self.response_end(stream, end),
        }
    }

    fn reset(&mut self, stream: StreamId, by: Party, time_ns: u64, unfinished: &Unfinished) {
        let Some(call) = self.calls.get(stream) else { return };
        let outcome = match by {
            Party::Client => Outcome::ClientClosed,
            Party::Server => Outcome::ServerClosed,
        };
        call.end(outcome, time_ns);
        call.missing(unfinished);
        self.calls.finish(stream, self.state);
    }

    fn unseen(&mut self, stream: StreamId) {
        let received_ns = self.calls.received_ns;
        let Some(call) = self.calls.get(stream) else { return };
        call.end(Outcome::NotSeen, received_ns);
        if let Some(bytes) = &mut call.response_bytes {
            bytes.body = None;
        }
        self.calls.finish(stream, self.state);
    }

    fn unread(&mut self) {
        self.state.unseen.unread_calls += 1;
    }

    fn note(&mut self, note: Note) {
        self.state.note_of_call(note);
    }

    fn give_up(&mut self, reason: GivenUp) {
        self.state.give_up_client(reason);
    }
}
