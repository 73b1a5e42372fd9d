//! Frames: RFC 9113, sections 4 and 6.

/// What a client sends before its first frame: section 3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame before its payload.
pub(super) const HEADER: usize = 9;

/// Frames of kinds that the RFC knows nothing of are not taken for ones when the beginning of one is looked for, and
/// neither are longer ones, in bytes. No implementation asks for longer ones by default.
const LENGTH_PLAUSIBLE: u32 = 1 << 20;

/// The types that say something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    Other,
}

impl Kind {
    fn of(code: u8) -> Self {
        match code {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Other,
        }
    }
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the payload.
    pub(super) length: u32,
    pub(super) kind: Kind,
    flags: u8,
    /// 0 for the connection itself.
    pub(super) stream: u32,
}

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & !RESERVED,
        }
    }

    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & END_STREAM != 0
    }

    pub(super) fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) fn is_padded(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers | Kind::PushPromise) && self.flags & PADDED != 0
    }

    fn has_priority(&self) -> bool {
        self.kind == Kind::Headers && self.flags & PRIORITY != 0
    }

    /// Whether both ends would take it: sections 6.1 to 6.10.
    pub(super) fn is_valid(&self) -> bool {
        let length = match self.kind {
            Kind::Priority => self.length == 5,
            Kind::RstStream | Kind::WindowUpdate => self.length == 4,
            Kind::Settings if self.flags & ACK != 0 => self.length == 0,
            Kind::Settings => self.length.is_multiple_of(6),
            Kind::Ping => self.length == 8,
            Kind::GoAway => self.length >= 8,
            Kind::PushPromise => self.length >= 4 + u32::from(self.is_padded()),
            Kind::Headers => self.length >= u32::from(self.is_padded()) + 5 * u32::from(self.has_priority()),
            Kind::Data => self.length >= u32::from(self.is_padded()),
            Kind::Continuation | Kind::Other => true,
        };
        let stream = match self.kind {
            Kind::Settings | Kind::Ping | Kind::GoAway => self.stream == 0,
            Kind::WindowUpdate | Kind::Other => true,
            _ => self.stream != 0,
        };
        length && stream
    }

    /// The part of a payload that belongs to a header block, where that begins; `payload` may end early. `None` if the
    /// padding is longer than what it pads.
    pub(super) fn fragment<'a>(&self, payload: &'a [u8]) -> Option<Fragment<'a>> {
        let padding = if self.is_padded() { u32::from(*payload.first()?) } else { 0 };
        let before = match self.kind {
            Kind::PushPromise => 4,
            _ if self.has_priority() => 5,
            _ => 0,
        } + usize::from(self.is_padded());
        let length = (self.length as usize).checked_sub(before + padding as usize)?;
        let rest = payload.get(before..).unwrap_or_default();
        let bytes = &rest[..length.min(rest.len())];
        Some(Fragment { bytes, is_whole: bytes.len() == length })
    }
}

/// A part of a header block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether these are all the bytes of it that the frame carried.
    pub(super) is_whole: bool,
}

/// The bit before a stream's number, which means nothing.
const RESERVED: u32 = 1 << 31;

/// Whether these bytes begin with the header of the SETTINGS frame by which a server begins (RFC 9113, section 3.4).
pub(super) fn is_settings(bytes: &[u8]) -> bool {
    bytes.first_chunk::<HEADER>().is_some_and(|first| {
        let header = Header::parse(first);
        header.kind == Kind::Settings && header.is_valid() && header.flags == 0 && header.length <= LENGTH_PLAUSIBLE
    })
}

/// Whether frames begin here: these bytes, the first that a call moved, are a chain of frames that both ends would
/// take, as far as they go. They must hold the first of them whole, or its first bytes at least.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut any = false;
    while let Some((first, payload)) = rest.split_first_chunk::<HEADER>() {
        let header = Header::parse(first);
        // No flag has a meaning but these, and the reserved bit is never set by those who follow the RFC.
        let known = match header.kind {
            Kind::Data => END_STREAM | PADDED,
            Kind::Headers => END_STREAM | END_HEADERS | PADDED | PRIORITY,
            Kind::PushPromise => END_HEADERS | PADDED,
            Kind::Continuation => END_HEADERS,
            Kind::Settings | Kind::Ping => ACK,
            _ => 0,
        };
        let is_frame = header.kind != Kind::Other
            && header.is_valid()
            && header.flags & !known == 0
            && first[5] & 0x80 == 0
            && header.length <= LENGTH_PLAUSIBLE;
        if !is_frame {
            return false;
        }
        any = true;
        rest = payload.get(header.length as usize..).unwrap_or_default();
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u32, kind: u8, flags: u8, stream: u32) -> [u8; HEADER] {
        let [_, l0, l1, l2] = length.to_be_bytes();
        let [s0, s1, s2, s3] = stream.to_be_bytes();
        [l0, l1, l2, kind, flags, s0, s1, s2, s3]
    }

    #[test]
    fn a_header_says_how_long_and_whose_a_frame_is() {
        let parsed = Header::parse(&header(0x01_02_03, 0, 1, RESERVED | 7));
        assert_eq!((parsed.length, parsed.kind, parsed.stream), (0x01_02_03, Kind::Data, 7));
        assert!(parsed.ends_stream() && !parsed.is_padded());
        // Flags have a meaning for their own kinds alone.
        let parsed = Header::parse(&header(4, 9, 0xff, 7));
        assert!(parsed.ends_headers() && !parsed.ends_stream() && !parsed.is_padded());
    }

    #[test]
    fn the_block_lies_between_priority_and_padding() {
        let of = |kind, flags, payload: &[u8], length| {
            let header = Header::parse(&header(length, kind, flags, 1));
            header.fragment(payload).map(|fragment| (fragment.bytes.to_vec(), fragment.is_whole))
        };
        assert_eq!(of(1, 0, b"block", 5), Some((b"block".to_vec(), true)));
        assert_eq!(of(1, 0x28, b"\x02pppppblock\0\0", 13), Some((b"block".to_vec(), true)));
        assert_eq!(of(5, 0x08, b"\x01\0\0\0\x02block\0", 11), Some((b"block".to_vec(), true)));
        assert_eq!(of(9, 0x08, b"block", 5), Some((b"block".to_vec(), true)));
        assert_eq!(of(1, 0x08, b"\x05abcd", 5), None, "more padding than there is room for");
        assert_eq!(of(1, 0x08, b"\x04abcd", 5), Some((Vec::new(), true)));
        // Of some only the beginning was captured.
        assert_eq!(of(1, 0x08, b"\x02blo", 8), Some((b"blo".to_vec(), false)));
        assert_eq!(of(1, 0x08, b"\x02block\0", 8), Some((b"block".to_vec(), true)));
        assert_eq!(of(1, 0x08, b"", 8), None);
        assert_eq!(of(1, 0x20, b"pp", 8), Some((Vec::new(), false)));
    }

    #[test]
    fn frames_begin_where_a_chain_of_them_does() {
        let ping = [&header(8, 6, 1, 0)[..], b"12345678"].concat();
        let headers = [&header(1, 1, 5, 3)[..], b"\x82"].concat();
        let data = header(16_384, 0, 0, 3);
        for bytes in [ping.clone(), [&ping[..], &headers, &data, b"beginning"].concat(), [&ping[..], b"\0\0"].concat()]
        {
            assert!(begins(&bytes), "{bytes:?}");
        }
        for bytes in [
            &b""[..],
            b"\0\0\x08\x06\x01",
            b"GET / HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            &header(8, 6, 1, 3),
            &header(7, 6, 0, 0),
            &header(7, 4, 0, 0),
            &header(0, 0, 0, 0),
            &header(0, 0, 0x40, 3),
            &header(9, 77, 0, 3),
            &header(0, 0, 0, RESERVED | 3),
            &[&ping[..], b"GET / HTTP/1.1\r\n\r\n"].concat(),
            PREFACE,
        ] {
            assert!(!begins(bytes), "{bytes:?}");
        }
    }
}
