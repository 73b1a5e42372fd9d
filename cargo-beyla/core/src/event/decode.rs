//! Bytes -> events: the records of the kernel side, decoded and checked.
//!
//! Recordings come in from elsewhere, so nothing is trusted: every size is checked, a record's size is
//! bounded, and what is captured is lent out, not copied.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cargo_beyla_events as records;
use records::kind;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::captured::Captured;
use crate::model::request::Endpoint;

/// The most bytes that may follow the structure of a record.
const TRAILING_MAX: usize = 64 * 1024;

/// The largest record that is accepted, in bytes.
pub const RECORD_MAX: usize = TRAILING_MAX + size_of::<records::Transfer>();

/// One record. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A socket of the process listens.
    Listen(Listen),
    /// The process touched a connection for the first time.
    Open(Open),
    /// Bytes reached a receive queue that already held unread ones.
    Arrival(records::Arrival),
    /// Bytes that a send call moved reached the receive queue of a client on this machine, after its return.
    Delivered(records::Arrival),
    /// A receive call returned; with the bytes that were captured.
    Receive(records::Transfer, Captured<'a>),
    /// A send call returned; with the bytes that were captured.
    Send(records::Transfer, Captured<'a>),
    /// One end of a connection closed.
    State(records::State),
    /// The process created an `io_uring`.
    IoUring {
        /// When.
        time_ns: u64,
    },
    /// The process executed its program.
    Exec {
        /// When.
        time_ns: u64,
    },
    /// What could not be recorded so far.
    Lost(records::Lost),
    /// The server is told to end.
    Stopping {
        /// When.
        time_ns: u64,
    },
    /// Every probe is attached; how bytes are captured.
    Ready(&'a str),
    /// The probe helper failed, with its message.
    Failed(&'a str),
    /// Something happens to a task of the async runtime.
    Task(records::TaskChange),
    /// A task's table of functions, still to be named.
    Vtable(records::Vtable),
    /// The name of the type of the tasks with this table of functions.
    TaskType {
        /// Its address.
        vtable: u64,
        /// The type of the future.
        name: &'a str,
    },
    /// A thread that polls a task, or has received a request, was off the CPU.
    OffCpu(records::OffCpu),
    /// A thread's stack, still to be unwound; with what of it was copied.
    Stack(records::Stack, &'a [u8]),
    /// A thread's stack.
    UnwoundStack(records::UnwoundStack),
    /// The frames of a stack, one a line: see [`crate::model::explanation::Frame`].
    StackFrames {
        /// The number of the stack.
        stack: u32,
        /// The frames, the innermost first.
        frames: &'a str,
    },
    /// The process is about to send on a connection.
    Sending(records::Sending),
    /// A send call found no room in the send buffer.
    SendBlocked(records::Sending),
    /// The run is one with `--explain`; what that cannot see, if anything.
    Explained(&'a str),
    /// Whose a connection is.
    Owner(records::Owner),
    /// A process begins.
    Forked(records::Forked),
    /// A process executes the program with this path.
    Executed(records::Executed, &'a str),
    /// A process ends.
    Exited(records::Exited),
    /// A test begins.
    TestStarted {
        /// The record.
        started: records::TestStarted,
        /// The test binary, as cargo names it.
        binary: &'a str,
        /// The test's name within it.
        name: &'a str,
    },
    /// A test ended.
    TestEnded {
        /// The record.
        ended: records::TestEnded,
        /// Why it failed, where that is no exit code and no signal; else empty.
        reason: &'a str,
    },
    /// All that was traced was stopped for a while, as by ^Z.
    Paused(Paused),
    /// A record of a kind that this version does not know.
    Unknown,
}

/// `Header::kind` of [`Paused`]. The kernel side, whose kinds are below 100, knows nothing of it.
const PAUSED: u16 = 120;

/// All that was traced was stopped from here to the time in the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Paused {
    header: records::Header,
    from_ns: u64,
}

impl Paused {
    /// A pause between two moments by the clock of the records, in nanoseconds.
    pub fn new(from_ns: u64, to_ns: u64) -> Self {
        let size = size_of::<Self>() as u32;
        Self { header: records::Header { kind: PAUSED, size, time_ns: to_ns, ..Default::default() }, from_ns }
    }

    /// How much of it lies after a moment, in nanoseconds.
    pub fn after(&self, moment_ns: u64) -> u64 {
        self.header.time_ns.saturating_sub(self.from_ns.max(moment_ns))
    }
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub local: Endpoint,
    /// Whose it is, of several processes that are traced, as records number it; 0 of the one that starts the others.
    pub process: u32,
    /// Whether it listens on addresses of IPv6 alone, and not on those of IPv4 as well.
    pub ipv6_only: bool,
    /// Whether it listened before the process began, which was given it.
    pub before: bool,
}

/// The process touched a connection for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// When: the return of accept, or of the first call on the connection.
    pub time_ns: u64,
    /// The number of the connection in the records that follow.
    pub connection: u64,
    /// When the handshake ended, if that was seen.
    pub established_ns: Option<u64>,
    /// The server's end.
    pub server: Endpoint,
    /// The client's end.
    pub client: Endpoint,
    /// Sequence number of the first byte that the client sends.
    pub receive_sequence: u32,
    /// Sequence number of the first byte that the server sends.
    pub send_sequence: u32,
    /// Whether it was open before anybody watched: its first bytes may belong to a message that began earlier.
    pub before: bool,
}

/// Bytes that are no record. What follows them cannot be found, so decoding ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The size is below that of the structure or beyond [`RECORD_MAX`].
    #[error("a record of kind {kind} claims a size of {size} bytes")]
    Size {
        /// The kind in its header.
        kind: u16,
        /// The size in its header.
        size: u32,
    },
    /// A transfer's captured bytes are not those that follow it.
    #[error("a transfer of {length} bytes claims to carry {captured} of them and carries {carried}")]
    Captured {
        /// Bytes moved, as the record has it.
        length: u32,
        /// Bytes captured, as the record has it.
        captured: u32,
        /// Bytes that follow the structure.
        carried: usize,
    },
    /// The pieces that a transfer carries overlap, are out of order, or lie beyond what it moved.
    #[error(
        "a transfer of {length} bytes carries a piece of {piece} bytes from byte {offset} on that cannot be its own"
    )]
    Piece {
        /// Bytes moved, as the record has it.
        length: u32,
        /// Where the piece begins.
        offset: u32,
        /// Bytes of the piece.
        piece: u32,
    },
}

impl<'a> Event<'a> {
    /// Decodes the record at the beginning of `bytes`: the event and the bytes that it took, or `None`
    /// if the record is not whole yet.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Ok((header, _)) = records::Header::read_from_prefix(bytes) else {
            return Ok(None);
        };
        let size = header.size as usize;
        let wrong_size = DecodeError::Size { kind: header.kind, size: header.size };
        if !(structure_size(header.kind)..=RECORD_MAX).contains(&size) {
            return Err(wrong_size);
        }
        let Some(record) = bytes.get(..size) else {
            return Ok(None);
        };
        let event = Self::of_record(&header, record)?.ok_or(wrong_size)?;
        Ok(Some((event, size)))
    }

    /// `None` if the record is smaller than its structure.
    fn of_record(header: &records::Header, record: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let time_ns = header.time_ns;
        let event = match header.kind {
            kind::LISTEN => {
                split::<records::Listen>(record).map(|(listen, path)| Self::Listen(Listen::of_record(&listen, path)))
            }
            kind::OPEN => split::<records::Open>(record).map(|(open, path)| Self::Open(Open::of_record(&open, path))),
            kind::ARRIVAL => split(record).map(|(arrival, _)| Self::Arrival(arrival)),
            kind::DELIVERED => split(record).map(|(arrival, _)| Self::Delivered(arrival)),
            kind::RECEIVE => transfer(record)?.map(|(transfer, data)| Self::Receive(transfer, data)),
            kind::SEND => transfer(record)?.map(|(transfer, data)| Self::Send(transfer, data)),
            kind::STATE => split(record).map(|(state, _)| Self::State(state)),
            kind::IO_URING => Some(Self::IoUring { time_ns }),
            kind::EXEC => Some(Self::Exec { time_ns }),
            kind::STOPPING => Some(Self::Stopping { time_ns }),
            kind::LOST => Some(Self::Lost(lost(record))),
            kind::READY => split::<records::Header>(record).map(|(_, capture)| Self::Ready(valid(capture))),
            kind::FAILED => split::<records::Header>(record).map(|(_, message)| Self::Failed(valid(message))),
            kind::TASK => split(record).map(|(change, _)| Self::Task(change)),
            kind::VTABLE => split(record).map(|(vtable, _)| Self::Vtable(vtable)),
            kind::TASK_TYPE => {
                split::<records::Name>(record).map(|(name, text)| Self::TaskType { vtable: name.of, name: valid(text) })
            }
            kind::OFF_CPU => split(record).map(|(off, _)| Self::OffCpu(off)),
            kind::STACK => split(record).map(|(stack, copied)| Self::Stack(stack, copied)),
            kind::UNWOUND_STACK => split(record).map(|(stack, _)| Self::UnwoundStack(stack)),
            kind::STACK_FRAMES => split::<records::Name>(record)
                .map(|(name, text)| Self::StackFrames { stack: name.of as u32, frames: valid(text) }),
            kind::SENDING => split(record).map(|(sending, _)| Self::Sending(sending)),
            kind::SEND_BLOCKED => split(record).map(|(sending, _)| Self::SendBlocked(sending)),
            kind::EXPLAINED => split::<records::Header>(record).map(|(_, unseen)| Self::Explained(valid(unseen))),
            kind::OWNER => split(record).map(|(owner, _)| Self::Owner(owner)),
            kind::FORKED => split(record).map(|(forked, _)| Self::Forked(forked)),
            kind::EXECUTED => split(record).map(|(executed, path)| Self::Executed(executed, valid(until_zero(path)))),
            kind::EXITED => split(record).map(|(exited, _)| Self::Exited(exited)),
            kind::TEST_STARTED => split(record).map(|(started, text)| {
                let (binary, name) = valid(text).split_once('\n').unwrap_or_default();
                Self::TestStarted { started, binary, name }
            }),
            kind::TEST_ENDED => split(record).map(|(ended, text)| Self::TestEnded { ended, reason: valid(text) }),
            PAUSED => split(record).map(|(paused, _)| Self::Paused(paused)),
            _ => Some(Self::Unknown),
        };
        Ok(event)
    }
}

impl Listen {
    fn of_record(record: &records::Listen, path: &[u8]) -> Self {
        let flagged = |flag| record.header.flags & flag != 0;
        Self {
            local: endpoint(&record.local, path),
            process: record.header.connection as u32,
            ipv6_only: flagged(records::LISTENS_ON_IPV6_ONLY),
            before: flagged(records::LISTENED_BEFORE),
        }
    }
}

impl Open {
    fn of_record(record: &records::Open, path: &[u8]) -> Self {
        Self {
            time_ns: record.header.time_ns,
            connection: record.header.connection,
            established_ns: (record.established_ns != 0).then_some(record.established_ns),
            server: endpoint(&record.local, path),
            client: endpoint(&record.remote, &[]),
            receive_sequence: record.receive_sequence,
            send_sequence: record.send_sequence,
            before: record.header.flags & records::OPEN_BEFORE != 0,
        }
    }
}

/// Size of the structure that a record of this kind begins with.
fn structure_size(kind: u16) -> usize {
    match kind {
        kind::LISTEN => size_of::<records::Listen>(),
        kind::OPEN => size_of::<records::Open>(),
        kind::ARRIVAL | kind::DELIVERED => size_of::<records::Arrival>(),
        kind::RECEIVE | kind::SEND => size_of::<records::Transfer>(),
        kind::STATE => size_of::<records::State>(),
        kind::LOST => records::LOST_SIZE_BEFORE,
        kind::TASK => size_of::<records::TaskChange>(),
        kind::VTABLE => size_of::<records::Vtable>(),
        kind::OFF_CPU => size_of::<records::OffCpu>(),
        kind::STACK => size_of::<records::Stack>(),
        kind::UNWOUND_STACK => size_of::<records::UnwoundStack>(),
        kind::STACK_FRAMES | kind::TASK_TYPE => size_of::<records::Name>(),
        kind::SENDING | kind::SEND_BLOCKED => size_of::<records::Sending>(),
        kind::OWNER => size_of::<records::Owner>(),
        kind::FORKED => size_of::<records::Forked>(),
        kind::EXECUTED => size_of::<records::Executed>(),
        kind::EXITED => size_of::<records::Exited>(),
        kind::TEST_STARTED => size_of::<records::TestStarted>(),
        kind::TEST_ENDED => size_of::<records::TestEnded>(),
        PAUSED => size_of::<Paused>(),
        _ => size_of::<records::Header>(),
    }
}

/// The structure that a record begins with, and the bytes that follow it.
fn split<T: FromBytes>(record: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(record).ok()
}

/// What a record that is too short for it does not count is 0.
fn lost(record: &[u8]) -> records::Lost {
    let mut whole = [0; size_of::<records::Lost>()];
    let known = record.len().min(whole.len());
    whole[..known].copy_from_slice(&record[..known]);
    zerocopy::transmute!(whole)
}

fn transfer(record: &[u8]) -> Result<Option<(records::Transfer, Captured<'_>)>, DecodeError> {
    let Some((transfer, data)) = split::<records::Transfer>(record) else {
        return Ok(None);
    };
    let records::Transfer { length, captured, .. } = transfer;
    let in_pieces = transfer.header.flags & records::CAPTURED_PIECES != 0;
    if captured as usize != data.len() || (!in_pieces && captured > length) {
        return Err(DecodeError::Captured { length, captured, carried: data.len() });
    }
    let captured = if in_pieces { Captured::in_pieces(data, length)? } else { Captured::first(data) };
    Ok(Some((transfer, captured)))
}

/// What of a message is UTF-8.
fn valid(message: &[u8]) -> &str {
    match std::str::from_utf8(message) {
        Ok(message) => message,
        Err(error) => std::str::from_utf8(&message[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// What precedes the first zero byte.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn endpoint(endpoint: &records::Endpoint, path: &[u8]) -> Endpoint {
    let address = match endpoint.family {
        records::AF_UNIX => return Endpoint::Unix(unix_name(path)),
        records::AF_INET6 => Ipv6Addr::from(endpoint.address).to_canonical(),
        records::AF_INET => {
            let [a, b, c, d, ..] = endpoint.address;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        // No family that a server listens on; the connection is traced all the same.
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    Endpoint::Tcp(SocketAddr::new(address, endpoint.port))
}

/// A path ends at its first zero byte, if it has one; an abstract name begins with it and may hold more.
pub(crate) fn unix_name(path: &[u8]) -> String {
    match path {
        [0, name @ ..] => {
            let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            format!("@{}", String::from_utf8_lossy(&name[..end]).replace('\0', "@"))
        }
        path => String::from_utf8_lossy(until_zero(path)).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    fn header(kind: u16, size: usize) -> records::Header {
        records::Header { kind, size: size as u32, time_ns: 7, connection: 3, ..Default::default() }
    }

    fn listen(local: records::Endpoint, path: &[u8]) -> Vec<u8> {
        let header = header(kind::LISTEN, size_of::<records::Listen>() + path.len());
        [records::Listen { header, local }.as_bytes(), path].concat()
    }

    fn listening(local: records::Endpoint, path: &[u8]) -> String {
        let bytes = listen(local, path);
        match Event::decode(&bytes) {
            Ok(Some((Event::Listen(listen), size))) if size == bytes.len() => listen.local.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn endpoints_of_every_family() {
        let v4 = records::Endpoint {
            family: records::AF_INET,
            port: 80,
            address: [127, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
            reserved: 0,
        };
        let mut mapped = records::Endpoint { family: records::AF_INET6, ..v4 };
        mapped.address = Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped().octets();
        let v6 = records::Endpoint { address: Ipv6Addr::LOCALHOST.octets(), ..mapped };
        let unix = records::Endpoint { family: records::AF_UNIX, ..Default::default() };
        assert_eq!(listening(v4, b""), "127.0.0.1:80");
        assert_eq!(listening(mapped, b""), "10.1.2.3:80");
        assert_eq!(listening(v6, b""), "[::1]:80");
        assert_eq!(listening(unix, b"/run/a.sock\0\0"), "unix:/run/a.sock");
        assert_eq!(listening(unix, b"\0name\0b\0"), "unix:@name@b");
        assert_eq!(listening(unix, b""), "unix:");
    }

    fn receive(length: u32, captured: u32, data: &[u8]) -> Vec<u8> {
        let transfer = records::Transfer {
            header: header(kind::RECEIVE, size_of::<records::Transfer>() + data.len()),
            length,
            captured,
            ..Default::default()
        };
        [transfer.as_bytes(), data].concat()
    }

    #[test]
    fn a_transfer_lends_its_bytes() {
        let bytes = [receive(9, 3, b"abc"), receive(0, 0, b"")].concat();
        let Ok(Some((Event::Receive(transfer, data), size))) = Event::decode(&bytes) else { panic!("no transfer") };
        assert_eq!((transfer.length, data), (9, Captured::first(b"abc")));
        assert!(matches!(Event::decode(&bytes[size..]), Ok(Some((Event::Receive(..), _)))));
    }

    #[test]
    fn a_record_cut_short_wants_more() {
        let bytes = receive(3, 3, b"abc");
        for end in 0..bytes.len() {
            assert_eq!(Event::decode(&bytes[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn lies_about_sizes_are_refused() {
        for (length, captured, data) in [(2, 3, "abc"), (3, 2, "abc"), (9, 4, "abc")] {
            let bytes = receive(length, captured, data.as_bytes());
            assert!(matches!(Event::decode(&bytes), Err(DecodeError::Captured { .. })));
        }
        for (kind, size) in [
            (kind::RECEIVE, size_of::<records::Transfer>() - 1),
            (kind::SEND, RECORD_MAX + 1),
            (kind::READY, 0),
            (9999, size_of::<records::Header>() - 1),
        ] {
            let bytes = [header(kind, size).as_bytes(), &[0; 100]].concat();
            assert!(matches!(Event::decode(&bytes), Err(DecodeError::Size { .. })), "{kind}");
        }
    }

    #[test]
    fn what_was_lost_is_read_of_recordings_of_any_age() {
        let header = |size| header(kind::LOST, size);
        let whole = records::Lost {
            records: 1,
            connections: 2,
            skipped: 3,
            failed_reads: 4,
            out_of_step: 5,
            ..Default::default()
        };
        for (size, failed_reads, out_of_step) in [(48, 0, 0), (56, 4, 0), (64, 4, 5), (72, 4, 5)] {
            let mut bytes = records::Lost { header: header(size), ..whole }.as_bytes().to_vec();
            bytes.resize(size, 9);
            let Ok(Some((Event::Lost(lost), taken))) = Event::decode(&bytes) else { panic!("{size}") };
            assert_eq!(taken, size);
            assert_eq!(lost, records::Lost { header: header(size), failed_reads, out_of_step, ..whole });
        }
        assert!(Event::decode(&[header(40).as_bytes(), &[0; 24]].concat()).is_err());
    }

    #[test]
    fn unknown_kinds_are_skipped_and_messages_cut_where_they_are_no_text() {
        let bytes = [header(9999, 28).as_bytes(), b"what"].concat();
        assert_eq!(Event::decode(&bytes), Ok(Some((Event::Unknown, 28))));
        let bytes = [header(kind::FAILED, 28).as_bytes(), b"no\xff!"].concat();
        assert_eq!(Event::decode(&bytes), Ok(Some((Event::Failed("no"), 28))));
    }
}
