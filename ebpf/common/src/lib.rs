//! The records that the kernel programs write and the user side reads.
//!
//! A record is one of the `#[repr(C)]` structures below, each of which begins with a [`Header`],
//! followed by `header.size - size_of::<Record>()` bytes that belong to it: the captured bytes of a
//! [`Transfer`], the path of a Unix socket. No structure has padding of the compiler's. Integers are
//! in the byte order of the machine; times are nanoseconds of `CLOCK_MONOTONIC`.
#![no_std]

mod keys;
mod processes;
mod runtime;
mod sqlite;
mod tasks;

pub use keys::*;
pub use processes::*;
pub use runtime::*;
pub use sqlite::*;
pub use tasks::*;

#[cfg(feature = "zerocopy")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most bytes that one transfer carries along.
pub const CAPTURE_MAX: usize = 16 * 1024;

/// Captured without reserve from each end of a connection between two turns of its direction; what
/// one end sends beyond it is a body; [`CAPTURE_CONTINUED`] bytes of each of its operations are captured.
pub const CAPTURE_TURN: u32 = 20 * 1024;

/// Captured from each operation once [`CAPTURE_TURN`] is used up, beside the size lines of chunks.
pub const CAPTURE_CONTINUED: u32 = 256;

/// The same from what a client sends: enough for the calls that one operation may carry.
pub const CAPTURE_CONTINUED_CALLS: u32 = 4 * 1024;

/// `AF_UNIX`, `AF_INET`, `AF_INET6` as in `<sys/socket.h>`, the same on every architecture of Linux.
pub const AF_UNIX: u16 = 1;
/// See [`AF_UNIX`].
pub const AF_INET: u16 = 2;
/// See [`AF_UNIX`].
pub const AF_INET6: u16 = 10;

/// The states of `inet_sock_set_state` that matter here, from `include/net/tcp_states.h`.
pub mod tcp_state {
    /// Both sides may send.
    pub const ESTABLISHED: u8 = 1;
    /// A handshake on the client's side.
    pub const SYN_SENT: u8 = 2;
    /// A handshake on the server's side.
    pub const SYN_RECV: u8 = 3;
    /// This side has closed first.
    pub const FIN_WAIT1: u8 = 4;
    /// Nothing is left of the connection.
    pub const CLOSE: u8 = 7;
    /// The other side has closed first.
    pub const CLOSE_WAIT: u8 = 8;
    /// A listening socket.
    pub const LISTEN: u8 = 10;
}

macro_rules! kinds {
    ($($(#[$meaning:meta])* $name:ident = $number:literal;)*) => {
        /// The values of [`Header::kind`]. Those of records that only the user side writes begin at 100.
        pub mod kind {
            $($(#[$meaning])* pub const $name: u16 = $number;)*

            /// All of them. The user side does not compile if it cannot decode one.
            pub const ALL: &[u16] = &[$($name),*];
        }
    };
}

kinds! {
    /// [`super::Listen`]: a socket of the process began to listen.
    LISTEN = 1;
    /// [`super::Open`]: the process touched a connection for the first time.
    OPEN = 2;
    /// [`super::Arrival`]: bytes reached a receive queue that already held unread ones.
    ARRIVAL = 3;
    /// [`super::Transfer`]: a receive call returned.
    RECEIVE = 4;
    /// [`super::Transfer`]: a send call returned.
    SEND = 5;
    /// [`super::State`]: one end of a connection closed.
    STATE = 6;
    /// [`super::Header`] alone: the process created an io_uring.
    IO_URING = 7;
    /// [`super::Header`] alone: the process executed its program; `connection` is 0.
    EXEC = 8;
    /// [`super::TaskChange`]
    TASK = 9;
    /// [`super::Vtable`]
    VTABLE = 10;
    /// [`super::OffCpu`]
    OFF_CPU = 11;
    /// [`super::Stack`]
    STACK = 12;
    /// [`super::Sending`]: a send call begins. With [`super::explain::ALWAYS`] each; with [`super::explain::AUTO`] those of
    /// threads that handle requests without tasks.
    SENDING = 13;
    /// [`super::Sending`]: a send call found no room. Not with [`super::explain::NEVER`].
    SEND_BLOCKED = 14;
    /// [`super::Owner`]: the process that a connection belongs to, if it is not the one that starts the others.
    OWNER = 15;
    /// [`super::Forked`]
    FORKED = 16;
    /// [`super::Executed`]
    EXECUTED = 17;
    /// [`super::Exited`]
    EXITED = 18;
    /// [`super::Arrival`] at a client on this machine: it has everything up to `sequence`, which earlier send calls moved.
    /// Only where such a call is marked [`super::DELIVERY_AWAITED`].
    DELIVERED = 19;
    /// [`super::Spawned`]
    SPAWNED = 20;
    /// [`super::Key`]
    KEY = 21;
    /// [`super::Sample`]
    SAMPLE = 24;
    /// [`super::SqliteExecution`]
    SQLITE = 22;
}

/// A flag of a received [`Transfer`]: it holds bytes whose arrival went unseen.
pub const ARRIVAL_UNKNOWN: u16 = 1;

/// A flag of a sent [`Transfer`]: the client is on this machine and did not have the last byte yet when the call
/// returned. [`kind::DELIVERED`] says when it has.
pub const DELIVERY_AWAITED: u16 = 1;

/// A flag of a received or sent [`Transfer`]: what follows it are [`Piece`]s, and not the first bytes that moved.
pub const CAPTURED_PIECES: u16 = 1 << 8;

/// A flag of a received or sent [`Transfer`]: in this direction the frames of a protocol were followed, and within this
/// call or before it their beginnings were lost. What is captured of this direction from here on are the first bytes of
/// each call, be they the beginning of a frame or not.
pub const OUT_OF_STEP: u16 = 1 << 9;

/// A flag of a received or sent [`Transfer`]: the process has opened the connection itself.
pub const MOVED_BY_CLIENT: u16 = 1 << 10;

/// In the place of [`Transfer::task`]: the probe did not look. What received last on the connection is taken for the task.
pub const TASK_NOT_ASKED: u64 = u64::MAX;

/// A flag of a [`Listen`]: the socket listens on addresses of IPv6 alone, and not on those of IPv4 as well.
pub const LISTENS_ON_IPV6_ONLY: u16 = 1;

/// A flag of a [`Listen`]: the socket listened before the process began, which was given it.
pub const LISTENED_BEFORE: u16 = 2;

/// A flag of an [`Open`]: the connection was open before anybody watched, so that its first bytes may belong
/// to a message that began earlier.
pub const OPEN_BEFORE: u16 = 1;

/// A flag of an [`Open`]: the process opens the connection itself.
pub const OPENS_AS_CLIENT: u16 = 2;

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Header {
    /// Which record it is: one of [`kind`].
    pub kind: u16,
    /// [`ARRIVAL_UNKNOWN`], [`DELIVERY_AWAITED`], [`CAPTURED_PIECES`], [`OUT_OF_STEP`], [`MOVED_BY_CLIENT`],
    /// [`LISTENS_ON_IPV6_ONLY`], [`LISTENED_BEFORE`], [`OPEN_BEFORE`], [`OPENS_AS_CLIENT`], [`SPAWNED_BLOCKING`], those
    /// of a [`SqliteExecution`], one of [`task`] or of [`stack`], or 0.
    pub flags: u16,
    /// Size of the whole record with the bytes that follow the structure.
    pub size: u32,
    /// When it happened.
    pub time_ns: u64,
    /// The connection, by a number that is never used twice in a run; 0 where there is none.
    pub connection: u64,
}

/// One end of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Endpoint {
    /// [`AF_INET`], [`AF_INET6`] or [`AF_UNIX`].
    pub family: u16,
    /// In the machine's byte order; 0 for a Unix socket.
    pub port: u16,
    /// In network byte order; an IPv4 address takes the first four bytes.
    pub address: [u8; 16],
    /// Zero.
    pub reserved: u32,
}

impl Endpoint {
    /// Of no family.
    pub const NONE: Self = Self { family: 0, port: 0, address: [0; 16], reserved: 0 };
}

/// A socket of the process began to listen. Followed by the path, if it is a Unix socket; an
/// abstract one begins with a zero byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Listen {
    /// `kind::LISTEN`. In the place of `connection`: whose it is, as in [`Owner`]; 0 of the process that starts the
    /// others.
    pub header: Header,
    /// Where it listens.
    pub local: Endpoint,
}

/// The process touched a connection for the first time. Followed by the path of the server's end, if
/// it is a Unix socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Open {
    /// `kind::OPEN`; `time_ns` is the moment of that first touch: the return of accept, or where the
    /// kernel does not tell it, of the first receive or send call. With [`OPENS_AS_CLIENT`], connect begins.
    pub header: Header,
    /// When the handshake ended; 0 where that was not seen. With [`OPENS_AS_CLIENT`], 0 if a [`State`] that enters
    /// [`tcp_state::ESTABLISHED`] says so later.
    pub established_ns: u64,
    /// This end. A client's port is often not chosen yet: then it is 0, and the [`State`] that enters
    /// [`tcp_state::ESTABLISHED`] has it.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Sequence number of the first byte from the other end that records are about: the first that it sends, or on a
    /// connection that was open before, the next. 0 as long as there is no connection yet.
    pub receive_sequence: u32,
    /// The same of this end.
    pub send_sequence: u32,
    /// The async task that touched it, as in [`Transfer::task`].
    pub task: u64,
    /// The thread that touched it, as in [`Transfer::thread`]; 0 if that is not known.
    pub thread: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bytes reached a receive queue that already held unread ones. (For the first bytes in an empty queue, the
/// [`Transfer`] that reads them says when they came.) With [`kind::DELIVERED`], the queue is the client's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Arrival {
    /// `kind::ARRIVAL` or `kind::DELIVERED`.
    pub header: Header,
    /// Sequence number of the first of them; with [`kind::DELIVERED`], of the byte after the last.
    pub sequence: u32,
    /// Zero.
    pub reserved: u32,
}

/// A receive or send call on a connection returned.
///
/// Sequence numbers are TCP's own, modulo 2^32 (a Unix socket's count from 0), so what is missing
/// between two transfers is known to the byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Transfer {
    /// `kind::RECEIVE` or `kind::SEND`; `time_ns` is the return of the call.
    pub header: Header,
    /// Send: the entry of the call. Receive: 0.
    pub begin_ns: u64,
    /// Receive: when the byte at `arrival_sequence` reached the receive queue; 0 if all that was received
    /// came with arrivals recorded before, or unseen ([`ARRIVAL_UNKNOWN`]). Send: when the last byte moved reached the
    /// receive queue of a client on this machine; 0 if that was not seen before the return of the call.
    pub arrival_ns: u64,
    /// See `arrival_ns`.
    pub arrival_sequence: u32,
    /// Sequence number after the last byte moved.
    pub end_sequence: u32,
    /// Send: how far the process has received, as a sequence number of the other direction.
    pub received_sequence: u32,
    /// Bytes moved; 0 only for a receive call that met the end of the stream.
    pub length: u32,
    /// The number of bytes that follow this structure. Without [`CAPTURED_PIECES`] these are the first bytes moved, at
    /// most `length`. With it they are [`Piece`]s, each followed by its bytes.
    pub captured: u32,
    /// The thread that made the call, as its process numbers it at the root of PID namespaces.
    pub thread: u32,
    /// The last eight bytes moved, where not all of them are captured and these could be read; zeros elsewhere.
    pub tail: [u8; 8],
    /// The id of the async task that the thread was polling; 0 if it polled none, or that is not known.
    /// [`TASK_NOT_ASKED`] of what a server sends and what a client receives; and without [`explain::AUTO`], of what a server
    /// receives after the beginning of a connection, as long as the process has opened none.
    pub task: u64,
}

/// A part of the bytes that a call moved, captured without a gap. Its bytes follow, and zeros up to a multiple of
/// eight. The pieces of a [`Transfer`] are in the order of the stream and do not overlap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Piece {
    /// Where it begins: the number of bytes that the call moved before it.
    pub offset: u32,
    /// The number of its bytes.
    pub length: u32,
}

/// One end of a connection closed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct State {
    /// `kind::STATE`.
    pub header: Header,
    /// The state it leaves: one of [`tcp_state`].
    pub old: u8,
    /// The state it enters: [`tcp_state::CLOSE_WAIT`] (the client closed first),
    /// [`tcp_state::FIN_WAIT1`] (the server closed first) or [`tcp_state::CLOSE`] (over); of a connection that the
    /// process opens, [`tcp_state::ESTABLISHED`] as well.
    pub new: u8,
    /// The error by which the connection broke or could not be opened, as in `<errno.h>`; 255 if it has no number below
    /// that; 0 without an error.
    pub error: u8,
    /// Zero.
    pub reserved: u8,
    /// How far the process has received, whether or not that was seen.
    pub receive_sequence: u32,
    /// How far the process has sent, whether or not that was seen.
    pub send_sequence: u32,
    /// The port of this end, in the machine's byte order; 0 if it has none.
    pub local_port: u16,
    /// Zero.
    pub reserved2: u16,
}

/// What the programs must know of the running kernel and of the process, set before they are loaded.
///
/// The offsets, in bytes, come from the running kernel's BTF. [`ABSENT`] stands for a field that this
/// kernel does not have.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "zerocopy", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Settings {
    /// Device of the PID namespace in which `process` counts, in the kernel's own encoding.
    pub namespace_device: u64,
    /// Inode of that namespace.
    pub namespace_inode: u64,
    /// Polls that have lasted less are not sampled, in nanoseconds.
    pub long_poll_ns: u64,
    /// The capabilities that a traced process may have, where `user` is not 0: those of the helper.
    pub capabilities: u64,
    /// The process to trace with what it starts, as its namespace numbers it.
    pub process: u32,
    /// 1 to trace the process itself, with all that it starts; 0 to trace what it starts alone.
    pub itself: u32,
    /// How many more processes are traced that run already.
    pub expected: u32,
    /// The user whose processes are traced; 0 for all.
    pub user: u32,
    /// 1 to take the bytes of TCP from the socket tracepoints, 0 from system calls.
    pub socket_tracepoints: u32,
    /// 1 to take arrivals of TCP from `tcp_probe`, 0 from `sk_data_ready`.
    pub arrivals_by_tcp_probe: u32,
    /// 1 if the process ran before.
    pub attached: u32,
    /// 1 if it may have connections that nobody saw being established: it ran before, or was given sockets that
    /// listened before.
    pub adopts: u32,
    /// How much of the async runtime is recorded: one of [`explain`].
    pub explain: u32,
    /// 1 to follow the records of TLS, 0 to take what it carries for bytes like any others.
    pub tls: u32,
    /// 1 if the kernel has `bpf_task_pt_regs` (Linux 5.15): then stacks and system calls are known.
    pub user_registers: u32,
    /// 1 if `sched_switch` tells the state of the thread that leaves (Linux 5.18).
    pub switch_tells_state: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.__state`, or `task_struct.state` before Linux 5.14
    pub task_state: u32,
    /// `task_struct.files`
    pub task_files: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `signal_struct.pids[PIDTYPE_TGID]`
    pub signal_tgid: u32,
    /// `task_struct.cred`
    pub task_cred: u32,
    /// `cred.uid`
    pub cred_uid: u32,
    /// `cred.euid`
    pub cred_euid: u32,
    /// `cred.suid`
    pub cred_suid: u32,
    /// `cred.gid`
    pub cred_gid: u32,
    /// `cred.egid`
    pub cred_egid: u32,
    /// `cred.sgid`
    pub cred_sgid: u32,
    /// `cred.cap_permitted`
    pub cred_cap_permitted: u32,
    /// Where `task_struct.thread` keeps the thread pointer of user space: `fsbase` on x86_64, `uw.tp_value` on aarch64.
    pub task_thread_pointer: u32,
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `mm_struct.exe_file`
    pub mm_exe_file: u32,
    /// `linux_binprm.filename`
    pub binprm_filename: u32,
    /// `files_struct.fdt`
    pub files_fdt: u32,
    /// `fdtable.max_fds`
    pub fdtable_max_fds: u32,
    /// `fdtable.fd`
    pub fdtable_fd: u32,
    /// `file.private_data`
    pub file_private_data: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `file.f_ref` (Linux 6.13 and later) or `file.f_count`
    pub file_references: u32,
    /// The value there while one reference is held.
    pub file_single_reference: u32,
    /// `inode.i_mode`
    pub inode_mode: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `inode.i_size`
    pub inode_size: u32,
    /// `socket.sk`
    pub socket_sk: u32,
    /// `socket.state`
    pub socket_state: u32,
    /// `sock.sk_socket`
    pub sock_socket: u32,
    /// `sock.__sk_common.skc_family`
    pub sock_family: u32,
    /// `sock.__sk_common.skc_state`
    pub sock_state: u32,
    /// `sock.__sk_common.skc_num`
    pub sock_num: u32,
    /// `sock.__sk_common.skc_dport`
    pub sock_dport: u32,
    /// `sock.__sk_common.skc_ipv6only`: the byte that it is a bit of.
    pub sock_ipv6_only: u32,
    /// That bit, as a mask.
    pub sock_ipv6_only_mask: u32,
    /// `sock.__sk_common.skc_rcv_saddr`
    pub sock_rcv_saddr: u32,
    /// `sock.__sk_common.skc_daddr`
    pub sock_daddr: u32,
    /// `sock.__sk_common.skc_v6_rcv_saddr`
    pub sock_v6_rcv_saddr: u32,
    /// `sock.__sk_common.skc_v6_daddr`
    pub sock_v6_daddr: u32,
    /// `sock.sk_err`
    pub sock_error: u32,
    /// `sock.sk_type`
    pub sock_type: u32,
    /// `sock.sk_peer_pid`
    pub sock_peer_pid: u32,
    /// `sock.sk_receive_queue.prev`
    pub sock_receive_queue_last: u32,
    /// `tcp_sock.copied_seq`
    pub tcp_copied_seq: u32,
    /// `tcp_sock.rcv_nxt`
    pub tcp_rcv_nxt: u32,
    /// `tcp_sock.write_seq`
    pub tcp_write_seq: u32,
    /// `unix_sock.addr`
    pub unix_addr: u32,
    /// `unix_sock.peer`
    pub unix_peer: u32,
    /// `unix_address.len`
    pub unix_address_len: u32,
    /// `unix_address.name[0].sun_path`
    pub unix_address_path: u32,
    /// `sk_buff.sk`
    pub skb_sk: u32,
    /// `sk_buff.len`
    pub skb_len: u32,
    /// `sk_buff.cb`, where TCP keeps `tcp_skb_cb`
    pub skb_cb: u32,
    /// `tcp_skb_cb.seq`
    pub tcp_cb_seq: u32,
    /// `tcp_skb_cb.end_seq`
    pub tcp_cb_end_seq: u32,
    /// Zero.
    pub reserved: u32,
}

/// The offset of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;
