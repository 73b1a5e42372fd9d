//! One direction of a connection: bytes -> frames.

use super::frame::{HEADER, Header};
use super::hpack::Decoder;
use crate::transport::segment::Segment;

/// What is kept of a payload that is read whole, and of the header blocks that several make up, in bytes. Servers take
/// less.
pub(super) const KEPT_MAX: usize = 64 * 1024;

/// One direction.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) state: State,
    /// Decodes its header blocks.
    pub(super) hpack: Decoder,
    /// A header block that goes on in the next frame.
    pub(super) block: Option<Block>,
    /// What has come so far of a payload that is read whole.
    pub(super) kept: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum State {
    /// Where the client begins: bytes of the preface that have come.
    Preface {
        matched: usize,
    },
    /// Before or in the first bytes of a frame.
    Header {
        bytes: [u8; HEADER],
        length: usize,
        start: Start,
    },
    Payload(Payload),
    /// Out of step.
    Lost,
}

impl State {
    pub(super) const FRAME: Self = Self::Header { bytes: [0; HEADER], length: 0, start: Start::NONE };
}

/// A frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) header: Header,
    pub(super) start: Start,
    /// Bytes of it that are still to come.
    pub(super) left: u32,
    /// Whether bytes of it were not captured, or not kept.
    pub(super) is_cut: bool,
    /// Of DATA: what of it is content.
    pub(super) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The next byte says how long the padding is.
    PaddingNext,
    /// Bytes that are still to come before the padding.
    Left(u32),
    /// The length of the padding was not captured.
    Unknown,
}

impl Content {
    /// Reads bytes of a payload of this length; those of them that are content.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8], length: u32) -> &'a [u8] {
        if *self == Self::PaddingNext
            && let Some((&padding, rest)) = bytes.split_first()
        {
            *self = Self::Left((length - 1).saturating_sub(padding.into()));
            bytes = rest;
        }
        match self {
            Self::Left(left) => {
                let content = &bytes[..bytes.len().min(*left as usize)];
                *left -= content.len() as u32;
                content
            }
            Self::PaddingNext | Self::Unknown => &[],
        }
    }

    /// Leaves out bytes of the payload; how many of them are content, if that is known.
    pub(super) fn skip(&mut self, length: u32) -> Option<u32> {
        match self {
            Self::Left(left) => {
                let skipped = length.min(*left);
                *left -= skipped;
                Some(skipped)
            }
            Self::PaddingNext | Self::Unknown => {
                *self = Self::Unknown;
                None
            }
        }
    }
}

/// A header block that is not whole.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) of: BlockOf,
    pub(super) bytes: Vec<u8>,
    pub(super) is_whole: bool,
}

impl Block {
    /// Adds the bytes of a frame, which may be only the first of them.
    pub(super) fn add(&mut self, bytes: &[u8], is_whole: bool) {
        if self.is_whole {
            let room = KEPT_MAX.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.is_whole = is_whole && bytes.len() <= room;
        }
    }
}

/// Where a header block belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockOf {
    pub(super) stream: u32,
    pub(super) start: Start,
    /// Bytes of its frames.
    pub(super) size: u64,
    pub(super) ends_stream: bool,
    /// The server promises a response that nobody asked for.
    pub(super) is_promise: bool,
}

/// The first byte of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// When it reached the receive queue, in nanoseconds.
    pub(super) arrived: Option<u64>,
    /// Entry of the call that moved it, in nanoseconds.
    pub(super) entered: u64,
    /// Return of that call, in nanoseconds.
    pub(super) returned: u64,
}

impl Start {
    const NONE: Self = Self { arrived: None, entered: 0, returned: 0 };

    pub(super) fn of(segment: &Segment<'_>, offset: u64) -> Self {
        Self { arrived: segment.arrived_at(offset), entered: segment.begin_ns, returned: segment.end_ns }
    }
}

impl Side {
    pub(super) fn new(state: State) -> Self {
        Self { state, hpack: Decoder::new(), block: None, kept: Vec::new() }
    }

    /// Of a direction that was met in the midst.
    pub(super) fn joined() -> Self {
        let mut side = Self::new(State::Lost);
        side.hpack.lose();
        side
    }

    /// It is out of step, and header blocks may have gone by.
    pub(super) fn lose(&mut self) {
        self.state = State::Lost;
        self.lose_block();
        self.hpack.lose();
        self.kept.clear();
    }

    /// The block that goes on does not.
    pub(super) fn lose_block(&mut self) -> bool {
        let lost = self.block.take().is_some();
        if lost {
            self.hpack.lose();
        }
        lost
    }
}
