//! What is known of a connection of the process.

use cargo_beyla_events::AF_UNIX;

use super::ends::Ends;
use crate::capture::walks::Direction;
use crate::kernel::output;
use crate::kernel::volatile::get;

/// Which end of a connection the process is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Role {
    Server = 0,
    Client = 1,
}

/// How a connection begins for the process.
pub struct Beginning {
    pub role: Role,
    /// Whether it was open before anybody watched.
    pub before: bool,
    /// 0 if that was not seen, or is still to come.
    pub established_ns: u64,
    /// Where the bytes received and sent begin; 0 on a Unix socket.
    pub receive: u32,
    pub send: u32,
    /// The other end, if the process is the client on a Unix socket; else 0.
    pub peer: u64,
}

/// What is known of a connection between two events.
#[repr(C)]
pub struct Connection {
    pub id: u64,
    pub established_ns: u64,
    /// When the byte at `arrival_sequence` reached the empty receive queue; 0 if the process has read it.
    pub arrival_ns: u64,
    /// Entry of the send call under way; 0 if there is none.
    pub send_begin_ns: u64,
    pub arrival_sequence: u32,
    /// How far bytes have reached the receive queue.
    pub queued_sequence: u32,
    /// How far the process has been seen to receive.
    pub received_sequence: u32,
    /// 1 if it was open before anybody watched.
    pub open_before: u32,
    /// Where the bytes received and sent begin; 0 on a Unix socket.
    pub receive_begin: u32,
    pub send_begin: u32,
    /// How far a Unix socket has moved bytes; TCP keeps count itself.
    pub unix_received: u32,
    pub unix_sent: u32,
    /// What may still be captured without reserve, by direction.
    pub receive_budget: u32,
    pub send_budget: u32,
    /// The direction of the latest transfer; 0 before the first.
    pub last_direction: u32,
    /// 1 once the user side was told of the connection.
    pub announced: u32,
    /// Messages that the recvmmsg or sendmmsg call under way has moved.
    pub batch_index: u32,
    pub family: u16,
    /// A change of state that is still to be told: the states, and whether there was an error.
    pub untold_old: u8,
    pub untold_new: u8,
    /// When that was; 0 if there is none.
    pub untold_ns: u64,
    pub untold_error: u64,
    /// The process that touched it first, as it is numbered at the root of PID namespaces; 0 before that, and of the
    /// one that starts the others.
    pub owner: u32,
    /// 1 while it is to be told when the client has what was sent up to `sent_sequence`.
    pub awaited: u32,
    /// When bytes last reached the receive queue of a client on this machine; on a Unix socket, within the send
    /// call under way.
    pub delivered_ns: u64,
    /// How far they have reached it.
    pub delivered_sequence: u32,
    /// How far the process had sent when its last send call returned.
    pub sent_sequence: u32,
    pub ends: Ends,
    /// Whether frames are followed, received and sent: see [`Connection::framing`].
    pub framed: [u8; 2],
    /// How many of the first bytes of who asks may yet begin a protocol with frames.
    pub opening: u8,
    /// 1 once it is in the table of those whose frames are followed.
    pub walked: u8,
    /// See [`Beginning::peer`].
    pub peer: u64,
    /// A [`Role`].
    pub role: u32,
    /// 1 if what receives on it are threads, and not tasks. Only with `--explain`.
    pub served_by_threads: u32,
}

/// What [`Connection::framed`] says of a direction: its frames are not followed.
pub const UNFOLLOWED: u8 = 0;
/// They are.
pub const FOLLOWED: u8 = 1;
/// They were, until one's beginning was lost.
pub const OUT: u8 = 2;

impl Connection {
    /// Asked anew each time, as [`Connection::is_client`].
    #[inline(always)]
    pub fn is_unix(&self) -> bool {
        get(&self.family) == AF_UNIX
    }

    /// Asked anew each time, so that the verifier need not follow each answer through all that comes after.
    #[inline(always)]
    pub fn is_client(&self) -> bool {
        get(&self.role) == Role::Client as u32
    }

    /// [`UNFOLLOWED`], [`FOLLOWED`] or [`OUT`].
    #[inline(always)]
    pub fn framing(&self, direction: Direction) -> u8 {
        // SAFETY: there are two.
        get(unsafe { self.framed.get_unchecked(direction.index()) })
    }

    /// Changes the state of a direction.
    #[inline(always)]
    pub fn set_framing(&mut self, direction: Direction, state: u8) {
        // SAFETY: there are two.
        unsafe { *self.framed.get_unchecked_mut(direction.index()) = state };
    }

    /// Notes the entry of a send call; when that is.
    #[inline(always)]
    pub fn send_begins(&mut self) -> u64 {
        let time_ns = output::now();
        self.send_begin_ns = time_ns;
        self.delivered_ns = 0;
        time_ns
    }
}
