//! The two directions of a connection whose frames are followed, and how far each was walked.

use aya_ebpf::{macros::map, maps::HashMap};

use super::formats::{HEADER_MAX, NONE};
use crate::kernel::fields::Sock;
use crate::kernel::volatile::get;

/// One end of a connection's traffic.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Direction {
    Receive = 1,
    Send = 2,
}

impl Direction {
    #[inline(always)]
    pub fn other(self) -> Self {
        match self {
            Self::Receive => Self::Send,
            Self::Send => Self::Receive,
        }
    }

    /// The place of a direction among two.
    #[inline(always)]
    pub fn index(self) -> usize {
        // Read as a number of which the compiler knows nothing, so that it leaves the bound in for the verifier.
        (get(&(self as u32)) >> 1 & 1) as usize
    }
}

/// Connections whose frames are followed at a time. Of others the first bytes of each call are captured.
const MAX_WALKS: u32 = 8 * 1024;

/// How far both directions of a connection were walked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walks {
    /// Received, sent.
    pub directions: [Walk; 2],
    /// The direction of the latest frame that carried a message; 0 before the first.
    pub message_direction: u64,
}

/// How far one direction of a connection was walked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walk {
    /// One of [`super::formats`].
    pub protocol: u32,
    /// Bytes of the header at hand that were seen; in a size line, see `frames::chunks`.
    pub seen: u32,
    /// Bytes of the payload at hand that are still to come; 0 in a header.
    pub payload: u32,
    /// Those of them that are to be captured.
    pub keep: u32,
    /// What may be captured beyond what always is.
    pub budget: u32,
    /// Sequence number of the next byte.
    pub next: u32,
    /// When `budget` was last granted something for the time that had passed.
    pub granted_ns: u64,
    /// The digits of the size line at hand.
    pub size: u32,
    /// Zero.
    reserved: u32,
    /// The header at hand.
    pub header: [u8; 2 * (HEADER_MAX as usize + 1)],
}

/// How the walk of a direction begins: see [`Walk`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Opening {
    pub protocol: u32,
    pub payload: u32,
    pub seen: u32,
    pub sequence: u32,
}

/// By socket, of the connections whose frames are followed.
#[map]
pub static WALKS: HashMap<Sock, Walks> = HashMap::with_max_entries(MAX_WALKS, 0);

impl Walks {
    pub const NEW: Self = Self {
        directions: [Walk {
            protocol: NONE,
            seen: 0,
            payload: 0,
            keep: 0,
            budget: 0,
            next: 0,
            granted_ns: 0,
            size: 0,
            reserved: 0,
            header: [0; 2 * (HEADER_MAX as usize + 1)],
        }; 2],
        message_direction: 0,
    };

    #[inline(always)]
    pub fn get(sock: Sock) -> Option<&'static mut Self> {
        // SAFETY: as of the table of connections. No two calls of the same direction run at once, or their bytes
        // would have no order.
        WALKS.get_ptr_mut(&sock).map(|walks| unsafe { &mut *walks })
    }

    #[inline(always)]
    pub fn direction(&mut self, direction: Direction) -> &mut Walk {
        // SAFETY: there are two.
        unsafe { self.directions.get_unchecked_mut(direction.index()) }
    }
}

impl Walk {
    /// Bytes move that are not looked at; `false` if a header may be among them.
    #[inline(always)]
    pub fn pass(&mut self, count: u32) -> bool {
        let payload = get(&self.payload);
        if count > payload {
            return false;
        }
        self.payload = payload - count;
        self.keep = get(&self.keep).saturating_sub(count);
        true
    }
}

/// The socket is gone.
#[inline(always)]
pub fn forget(sock: Sock) {
    let _ = WALKS.remove(&sock);
}
