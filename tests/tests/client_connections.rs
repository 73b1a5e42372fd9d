//! What the process asks of others is recorded as what others ask of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use beyla_tests::client::get;
use beyla_tests::fixture;
use beyla_tests::run::{CALLING_SERVER, Capture, Run};
use cargo_beyla_core::event::{Event, Open, Operation};
use cargo_beyla_core::model::connection::{Endpoint, Role};
use cargo_beyla_events::{SPAWNED_BLOCKING, Spawned, State, TASK_NOT_ASKED, tcp_state};

/// As `calling_server` sends it.
const CALL: &str = "GET /called HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Takes the call, and answers it in two parts.
fn answer(mut connection: impl Read + Write) {
    let mut call = vec![0; CALL.len()];
    connection.read_exact(&mut call).expect("a call");
    assert_eq!(call, CALL.as_bytes());
    let (first, second) = ANSWER.split_at(20);
    connection.write_all(first.as_bytes()).expect("a client");
    thread::sleep(Duration::from_millis(20));
    connection.write_all(second.as_bytes()).expect("a client");
}

/// Has `count` calls over TCP answered, and returns from which ports they came.
fn answer_tcp(listener: TcpListener, count: usize) -> thread::JoinHandle<Vec<u16>> {
    thread::spawn(move || {
        let answered = listener.incoming().take(count).map(|connection| {
            let connection = connection.expect("a connection");
            let port = connection.peer_addr().expect("its address").port();
            answer(connection);
            port
        });
        answered.collect()
    })
}

fn answer_unix(listener: UnixListener) -> thread::JoinHandle<()> {
    thread::spawn(move || answer(listener.accept().expect("a connection").0))
}

/// The records of a recording, behind its two lines of text.
fn records(recording: &Path) -> Vec<u8> {
    let bytes = std::fs::read(recording).expect("a recording");
    let line_feeds = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = line_feeds.map(|(index, _)| index).nth(1).expect("two lines");
    bytes[end + 1..].to_vec()
}

fn events(records: &[u8]) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let mut rest = records;
    while let Some((event, size)) = Event::decode(rest).expect("a record") {
        events.push(event);
        rest = &rest[size..];
    }
    events
}

/// What was recorded of a connection.
#[derive(Debug)]
struct Recorded<'a> {
    open: &'a Open,
    sent: Vec<&'a Operation<'a>>,
    received: Vec<&'a Operation<'a>>,
    states: Vec<&'a State>,
}

impl<'a> Recorded<'a> {
    fn all(events: &'a [Event<'a>], role: Role) -> Vec<Self> {
        let opens = events.iter().filter_map(|event| match event {
            Event::Open(open) if open.role == role => Some(open),
            _ => None,
        });
        let of = |open: &'a Open| {
            let mut recorded = Self { open, sent: Vec::new(), received: Vec::new(), states: Vec::new() };
            for event in events {
                match event {
                    Event::Send(send) if send.transfer.header.connection == open.connection => recorded.sent.push(send),
                    Event::Receive(receive) if receive.transfer.header.connection == open.connection => {
                        recorded.received.push(receive);
                    }
                    Event::State(state) if state.header.connection == open.connection => recorded.states.push(state),
                    _ => {}
                }
            }
            recorded
        };
        opens.map(of).collect()
    }

    fn text(operations: &[&Operation<'_>]) -> String {
        let bytes: Vec<u8> = operations.iter().flat_map(|operation| operation.captured.beginning()).copied().collect();
        String::from_utf8(bytes).expect("text")
    }

    /// The tasks that have opened it, where the process did, and moved its bytes.
    fn tasks(&self) -> Vec<u64> {
        let moved = self.sent.iter().chain(&self.received).map(|operation| operation.transfer.task);
        let opened = (self.open.role == Role::Client).then_some(self.open.task);
        // The kernel side asks only for the tasks that read requests and make calls.
        let mut tasks: Vec<u64> = moved.chain(opened).filter(|task| *task != TASK_NOT_ASKED).collect();
        tasks.dedup();
        tasks
    }

    /// Checks a call that was answered, from its beginning to its end.
    fn check_answered(&self) {
        let Self { open, sent, received, states } = self;
        assert!(!open.before && open.thread != 0);
        assert_eq!((Self::text(sent).as_str(), Self::text(received).as_str()), (CALL, ANSWER));
        // The two parts come one after the other.
        let [first, second] = [0, 1].map(|index| &received[index].transfer);
        assert!(open.time_ns <= sent[0].transfer.begin_ns && sent[0].transfer.begin_ns < first.header.time_ns);
        assert!(first.arrival_ns != 0 && first.arrival_ns <= first.header.time_ns);
        assert!(second.arrival_ns >= first.arrival_ns + 15_000_000, "{first:?} {second:?}");
        let (sent_length, received_length) = (CALL.len() as u32, ANSWER.len() as u32);
        let end = |operations: &[&Operation<'_>], begin: u32| {
            let last = operations.iter().rfind(|operation| operation.transfer.length != 0).expect("bytes");
            last.transfer.end_sequence.wrapping_sub(begin)
        };
        // The call that returns the last bytes may take the peer's FIN as well, which has a number of its own.
        let fin = u32::from(matches!(open.server, Endpoint::Tcp(_)));
        let (receive_begin, send_begin) = match states.first() {
            Some(state) if state.new == tcp_state::ESTABLISHED => {
                assert!(open.time_ns <= state.header.time_ns && open.established_ns.is_none());
                (state.receive_sequence, state.send_sequence)
            }
            _ => {
                assert!(open.established_ns.is_some_and(|established_ns| established_ns <= sent[0].transfer.begin_ns));
                (open.receive_sequence, open.send_sequence)
            }
        };
        assert_eq!(end(sent, send_begin), sent_length);
        let received_end = end(received, receive_begin);
        assert!((received_length..=received_length + fin).contains(&received_end), "{received_end}");
        if fin == 1 {
            assert_eq!(states.last().map(|state| (state.new, state.error)), Some((tcp_state::CLOSE, 0)));
        } else {
            // The server has closed it first.
            assert_eq!(received.last().map(|operation| operation.transfer.length), Some(0));
        }
    }
}

fn check(capture: Capture) {
    let folder = fixture::folder(&[]);
    let [recording, socket] = ["recording", "other.sock"].map(|name| folder.path().join(name));
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("its address");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let unix = answer_unix(UnixListener::bind(&socket).expect("a socket"));
    let tcp = answer_tcp(other, 3);

    let run = Run::of(CALLING_SERVER, capture).explain().flags(["--record".as_ref(), recording.as_os_str()]).start();
    let itself = format!("127.0.0.1:{}", run.port);
    for (target, expected) in [
        (format!("/tcp?{address}"), ANSWER),
        (format!("/unix?{}", socket.display()), ANSWER),
        (format!("/spawned?{address}"), ANSWER),
        (format!("/blocking?{address}"), ANSWER),
        (format!("/tcp?{nobody}"), "Connection refused"),
        (format!("/twice?{itself}"), "Cannot assign requested address"),
        (format!("/tcp?{itself}"), "called"),
    ] {
        // Each on a connection of its own, and so in a task of its own.
        let body = run.connect().send(get(&target)).response().body;
        let body = String::from_utf8(body).expect("text");
        assert!(body.contains(expected), "{target}: {body}");
    }
    unix.join().expect("an answer");
    let ports = tcp.join().expect("answers");
    let finished = run.let_go();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    // What it asked of itself is a request too, and of others none.
    assert_eq!(finished.report().requests.len(), 8);

    let records = records(&recording);
    let events = events(&records);
    let calls = Recorded::all(&events, Role::Client);
    let requests = Recorded::all(&events, Role::Server);
    let [over_tcp, over_unix, spawned, blocking, refused, _first, second, own] = &calls[..] else {
        panic!("{calls:#?}")
    };
    let task_of = |target: &str| {
        let request = requests.iter().find(|request| Recorded::text(&request.received).starts_with(target));
        let tasks = request.expect("the request").tasks();
        *tasks.last().expect("a task")
    };

    for (call, port) in [over_tcp, spawned, blocking].into_iter().zip(ports) {
        call.check_answered();
        assert_eq!(call.open.server, Endpoint::Tcp(address));
        assert_eq!(call.states[0].local_port, port);
    }
    over_unix.check_answered();
    assert_eq!(over_unix.open.server, Endpoint::Unix(socket.display().to_string()));

    assert_eq!(over_tcp.tasks(), [task_of(&format!("GET /tcp?{address}"))]);
    assert_eq!(over_unix.tasks(), [task_of("GET /unix")]);
    let spawns: Vec<&Spawned> = events
        .iter()
        .filter_map(|event| match event {
            Event::Spawned(spawned) => Some(spawned),
            _ => None,
        })
        .collect();
    for (call, target, flags) in [(spawned, "GET /spawned", 0), (blocking, "GET /blocking", SPAWNED_BLOCKING)] {
        let [task] = call.tasks()[..] else { panic!("{call:#?}") };
        let spawn = spawns.iter().find(|spawn| spawn.child == task).expect("a spawn");
        assert_eq!((spawn.parent, spawn.header.flags), (task_of(target), flags));
    }

    assert_eq!(refused.open.server, Endpoint::Tcp(nobody));
    assert_eq!(refused.tasks(), [task_of(&format!("GET /tcp?{nobody}"))]);
    let [state] = refused.states[..] else { panic!("{refused:#?}") };
    let old_and_new = (state.old, state.new);
    assert_eq!((old_and_new, i32::from(state.error)), ((tcp_state::SYN_SENT, tcp_state::CLOSE), libc::ECONNREFUSED));

    // The kernel says so to the process alone.
    let [state] = second.states[..] else { panic!("{second:#?}") };
    let old_and_new = (state.old, state.new);
    assert_eq!((old_and_new, i32::from(state.error)), ((tcp_state::SYN_SENT, tcp_state::CLOSE), libc::EADDRNOTAVAIL));
    assert_eq!(second.tasks(), [task_of("GET /twice")]);

    // Both ends of what it asks of itself.
    let served = requests.iter().find(|request| Recorded::text(&request.received) == CALL).expect("the other end");
    assert_eq!(served.open.client.to_string(), format!("127.0.0.1:{}", own.states[0].local_port));
    assert_eq!(Recorded::text(&own.received), Recorded::text(&served.sent));
    assert_ne!(own.tasks(), served.tasks());
}

#[test]
fn calls_are_recorded_by_socket_tracepoints() {
    check(Capture::Socket);
}

#[test]
fn calls_are_recorded_by_system_calls() {
    check(Capture::Syscalls);
}
