//! What the kernel side writes, where it takes more than a structure to say it.

use cargo_beyla_events as records;
use records::{Header, Transfer};

use super::captured::Captured;
use super::endpoint::{from_endpoint, to_endpoint};
use super::layout::{DecodeError, Layout, append, append_text, split, split_text, structures};
use crate::model::connection::{Endpoint, Role};

structures! {
    records::Arrival,
    records::Executed,
    records::Exited,
    records::Forked,
    records::Listen,
    records::OffCpu,
    records::Open,
    records::Owner,
    records::Sample,
    records::Sending,
    records::Spawned,
    records::Stack,
    records::State,
    records::TaskChange,
    records::Transfer,
    records::Vtable,
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// When that was seen; 0 where it listened before.
    pub time_ns: u64,
    /// Where.
    pub local: Endpoint,
    /// The process, of several that are traced, by the number that records have for it; 0 is the one that starts the others.
    pub process: u32,
    /// Whether it listens on addresses of IPv6 alone, and not on those of IPv4 as well.
    pub ipv6_only: bool,
    /// Whether it listened before the process began, which was given it.
    pub before: bool,
}

impl Layout<'_> for Listen {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let (listen, path) = split::<records::Listen>(record)?;
        let records::Listen { header, local } = listen;
        Ok(Self {
            time_ns: header.time_ns,
            local: from_endpoint(&local, path),
            process: header.connection as u32,
            ipv6_only: header.flags & records::LISTENS_ON_IPV6_ONLY != 0,
            before: header.flags & records::LISTENED_BEFORE != 0,
        })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let flag = |flag: u16, set: bool| if set { flag } else { 0 };
        let header = Header {
            flags: flag(records::LISTENS_ON_IPV6_ONLY, self.ipv6_only) | flag(records::LISTENED_BEFORE, self.before),
            time_ns: self.time_ns,
            connection: self.process.into(),
            ..Header::default()
        };
        let (local, path) = to_endpoint(&self.local);
        append(records, kind, records::Listen { header, local }, &path);
    }
}

/// The process touched a connection for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// When: the return of accept, or of the first call on the connection; where the process opens it, connect began.
    pub time_ns: u64,
    /// The number of the connection in the records that follow.
    pub connection: u64,
    /// When the handshake ended, if that was seen.
    pub established_ns: Option<u64>,
    /// Which end the process is.
    pub role: Role,
    /// The server's end.
    pub server: Endpoint,
    /// The client's end.
    pub client: Endpoint,
    /// Sequence number of the first byte that the process receives.
    pub receive_sequence: u32,
    /// Sequence number of the first byte that it sends.
    pub send_sequence: u32,
    /// The thread that touched it; 0 if that is not known.
    pub thread: u32,
    /// The id of the async task that the thread was polling; 0 if none is known.
    pub task: u64,
    /// Whether it was open before anybody watched: its first bytes may belong to a message that began earlier.
    pub before: bool,
}

impl Layout<'_> for Open {
    fn read(record: &[u8]) -> Result<Self, DecodeError> {
        let (open, path) = split::<records::Open>(record)?;
        let records::Open {
            header, established_ns, local, remote, receive_sequence, send_sequence, task, thread, ..
        } = open;
        let role = if header.flags & records::OPENS_AS_CLIENT != 0 { Role::Client } else { Role::Server };
        // The path of a Unix socket is the server's.
        let (server, client) = match role {
            Role::Server => (local, remote),
            Role::Client => (remote, local),
        };
        Ok(Self {
            time_ns: header.time_ns,
            connection: header.connection,
            established_ns: (established_ns != 0).then_some(established_ns),
            role,
            server: from_endpoint(&server, path),
            client: from_endpoint(&client, &[]),
            receive_sequence,
            send_sequence,
            thread,
            task,
            before: header.flags & records::OPEN_BEFORE != 0,
        })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let (server, path) = to_endpoint(&self.server);
        let (client, _) = to_endpoint(&self.client);
        let (local, remote, role) = match self.role {
            Role::Server => (server, client, 0),
            Role::Client => (client, server, records::OPENS_AS_CLIENT),
        };
        let open = records::Open {
            header: Header {
                flags: role | if self.before { records::OPEN_BEFORE } else { 0 },
                time_ns: self.time_ns,
                connection: self.connection,
                ..Header::default()
            },
            established_ns: self.established_ns.unwrap_or(0),
            local,
            remote,
            receive_sequence: self.receive_sequence,
            send_sequence: self.send_sequence,
            task: self.task,
            thread: self.thread,
            reserved: 0,
        };
        append(records, kind, open, &path);
    }
}

/// A receive or send call that returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    /// What it moved, and when.
    pub transfer: Transfer,
    /// What was captured of it.
    pub captured: Captured<'a>,
}

impl<'a> Layout<'a> for Operation<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (transfer, bytes) = split::<Transfer>(record)?;
        let Transfer { header, length, captured, .. } = transfer;
        let in_pieces = header.flags & records::CAPTURED_PIECES != 0;
        if captured as usize != bytes.len() || (!in_pieces && captured > length) {
            return Err(DecodeError::Captured { length, captured, carried: bytes.len() });
        }
        let captured = if in_pieces { Captured::in_pieces(bytes, length)? } else { Captured::first(bytes) };
        Ok(Self { transfer, captured })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let Self { mut transfer, captured } = *self;
        let bytes = captured.as_bytes();
        transfer.captured = bytes.len() as u32;
        transfer.header.flags &= !records::CAPTURED_PIECES;
        if captured.is_in_pieces() {
            transfer.header.flags |= records::CAPTURED_PIECES;
        }
        append(records, kind, transfer, bytes);
    }
}

/// A stack, as it was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedStack<'a> {
    /// The thread and its registers.
    pub registers: records::Stack,
    /// What the stack holds from the stack pointer on.
    pub bytes: &'a [u8],
}

impl<'a> Layout<'a> for CopiedStack<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        split(record).map(|(registers, bytes)| Self { registers, bytes })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        append(records, kind, self.registers, self.bytes);
    }
}

/// A process executes a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed<'a> {
    /// When.
    pub time_ns: u64,
    /// The process, by the number that records have for it.
    pub process: u32,
    /// The same as its parent's PID namespace numbers it; 0 if it is in another.
    pub pid: u32,
    /// The program's path, as it was given and as far as it could be read.
    pub path: &'a str,
}

impl<'a> Layout<'a> for Executed<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (executed, path) = split_text::<records::Executed>(record)?;
        let path = path.split('\0').next().unwrap_or_default();
        Ok(Self { time_ns: executed.header.time_ns, process: executed.process, pid: executed.pid, path })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let header = Header { time_ns: self.time_ns, ..Header::default() };
        let executed = records::Executed { header, process: self.process, pid: self.pid };
        append_text(records, kind, executed, self.path);
    }
}
