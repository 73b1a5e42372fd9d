//! Flow control of responses: RFC 9113, section 5.2. The server may send no more content than the client's windows allow,
//! that of the stream and that of the connection.

use super::frame::Header;
use super::{Http2, exchange};
use crate::protocol::message::Messages;

/// Bytes that each window allows at first: sections 6.5.2 and 6.9.2.
const INITIAL: i64 = 65_535;

/// The setting of the initial window of streams: section 6.5.2.
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;

/// The length of a setting, in bytes.
const SETTING: usize = 6;

/// A window: how many bytes the client still takes. A change of the settings may make that negative (section 6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    left: i64,
    is_shut: bool,
}

/// The window of a connection, and what its streams begin with.
#[derive(Debug, Default)]
pub(super) struct Windows {
    connection: Window,
    initial: Window,
    /// Something that changes them moved unseen, so nothing is said of them any more.
    are_lost: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { left: INITIAL, is_shut: false }
    }
}

impl Window {
    /// The window grows or shrinks. Returns whether it is shut now, if that changes.
    fn change(&mut self, by: i64) -> Option<bool> {
        self.left = self.left.saturating_add(by);
        let was_shut = std::mem::replace(&mut self.is_shut, self.left <= 0);
        (was_shut != self.is_shut).then_some(self.is_shut)
    }
}

impl Windows {
    /// The window that a stream begins with.
    pub(super) fn initial(&self) -> Window {
        self.initial
    }

    /// Nothing is known of them any more.
    pub(super) fn lose(&mut self) {
        self.are_lost = true;
    }
}

impl Http2 {
    /// The server has sent a frame of content. Its padding counts as well: section 6.1.
    pub(super) fn content_sent(&mut self, header: &Header, time_ns: u64, messages: &mut dyn Messages) {
        if self.windows.are_lost {
            return;
        }
        let by = -i64::from(header.length);
        if let Some(is_shut) = self.windows.connection.change(by) {
            messages.window(None, is_shut, time_ns);
        }
        if let Some(stream) = self.streams.get_mut(&header.stream)
            && let Some(is_shut) = stream.window.change(by)
            && !header.ends_stream()
        {
            messages.window(Some(exchange(header.stream)), is_shut, time_ns);
        }
    }

    /// `WINDOW_UPDATE` of the client: section 6.9.
    pub(super) fn window_update(&mut self, stream: u32, payload: &[u8], time_ns: u64, messages: &mut dyn Messages) {
        let Some(increment) = payload.first_chunk() else { return self.lose_windows(time_ns, messages) };
        let by = i64::from(u32::from_be_bytes(*increment) & (u32::MAX >> 1));
        if self.windows.are_lost {
            return;
        }
        if stream == 0 {
            if let Some(is_shut) = self.windows.connection.change(by) {
                messages.window(None, is_shut, time_ns);
            }
        } else if let Some(known) = self.streams.get_mut(&stream)
            && let Some(is_shut) = known.window.change(by)
        {
            messages.window(Some(exchange(stream)), is_shut, time_ns);
        }
    }

    /// `SETTINGS` of the client. A new initial window changes those of the streams that are open as well: section 6.9.2.
    pub(super) fn settings(&mut self, header: &Header, payload: &[u8], time_ns: u64, messages: &mut dyn Messages) {
        if payload.len() < header.length as usize {
            return self.lose_windows(time_ns, messages);
        }
        for setting in payload.chunks_exact(SETTING) {
            let [i0, i1, v0, v1, v2, v3] = *setting else { continue };
            if u16::from_be_bytes([i0, i1]) != SETTINGS_INITIAL_WINDOW_SIZE || self.windows.are_lost {
                continue;
            }
            let initial = i64::from(u32::from_be_bytes([v0, v1, v2, v3]));
            let by = initial - self.windows.initial.left;
            self.windows.initial = Window { left: initial, is_shut: initial <= 0 };
            for (number, stream) in &mut self.streams {
                if let Some(is_shut) = stream.window.change(by) {
                    messages.window(Some(exchange(*number)), is_shut, time_ns);
                }
            }
        }
    }

    /// Something that changes the windows was not seen: from now on they count as open.
    pub(super) fn lose_windows(&mut self, time_ns: u64, messages: &mut dyn Messages) {
        if std::mem::replace(&mut self.windows.are_lost, true) {
            return;
        }
        if self.windows.connection.is_shut {
            messages.window(None, false, time_ns);
        }
        for (number, stream) in &self.streams {
            if stream.window.is_shut {
                messages.window(Some(exchange(*number)), false, time_ns);
            }
        }
    }
}
