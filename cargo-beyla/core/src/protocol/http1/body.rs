//! The content of a message: counted, not kept.

use super::chunked::Chunked;
use crate::protocol::content::ContentCounter;
use crate::protocol::grpc::Encoding;
use crate::protocol::message::MessageEnd;

/// How far the content of one message has been seen.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    content: ContentCounter,
    /// Whether the last bytes moved unseen.
    unseen: bool,
}

#[derive(Debug)]
enum Framing {
    Length { remaining: u64 },
    Chunked(Chunked),
    UntilClose,
    Lost(Recent),
}

/// What hidden bytes did to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// It goes on.
    Within,
    /// It has ended with or among them; this many of them belong to what follows.
    Ended { left: u64 },
}

/// The last bytes of a message whose framing was lost, so that its end may be known.
#[derive(Debug, Default)]
struct Recent {
    bytes: [u8; END.len()],
    /// Bytes seen of the current operation.
    in_operation: u64,
}

/// The end of a chunked message without trailers: the end of a line, the last chunk, the empty line.
const END: [u8; 7] = *b"\r\n0\r\n\r\n";

impl Body {
    pub(super) fn of_length(length: u64) -> Self {
        Self::new(Framing::Length { remaining: length })
    }

    pub(super) fn chunked() -> Self {
        Self::new(Framing::Chunked(Chunked::default()))
    }

    pub(super) fn until_close() -> Self {
        Self::new(Framing::UntilClose)
    }

    pub(super) fn lost() -> Self {
        let mut body = Self::new(Framing::UntilClose);
        body.lose();
        body
    }

    /// It is the content of a gRPC call.
    pub(super) fn count_messages(&mut self, encoding: Encoding) {
        self.content.count_messages(encoding);
    }

    /// Its head has this `grpc-status`.
    pub(super) fn note_status(&mut self, status: Option<u32>) {
        self.content.note_status(status);
    }

    /// Bytes that are still to come by the length that was announced; 0 where none was.
    pub(super) fn announced(&self) -> u64 {
        match self.framing {
            Framing::Length { remaining } => remaining,
            Framing::Chunked(_) | Framing::UntilClose | Framing::Lost(_) => 0,
        }
    }

    fn new(framing: Framing) -> Self {
        Self { framing, content: ContentCounter::default(), unseen: false }
    }

    /// Reads on; how many bytes of `input` belong to this message.
    pub(super) fn read(&mut self, input: &[u8]) -> usize {
        self.unseen = self.unseen && input.is_empty();
        match &mut self.framing {
            Framing::Length { remaining } => {
                let taken = usize::try_from(*remaining).map_or(input.len(), |most| most.min(input.len()));
                *remaining -= taken as u64;
                self.content.read(&input[..taken]);
                taken
            }
            Framing::Chunked(chunked) => {
                if let Ok(taken) = chunked.read(input, |content| self.content.read(content)) {
                    return taken;
                }
                self.lose();
                self.read(input)
            }
            Framing::UntilClose => {
                self.content.read(input);
                input.len()
            }
            Framing::Lost(recent) => {
                recent.add(input);
                input.len()
            }
        }
    }

    /// This many bytes moved that cannot be read; `unseen` if they moved without a record.
    pub(super) fn hide(&mut self, length: u64, unseen: bool) -> Hidden {
        self.unseen = unseen;
        match &mut self.framing {
            Framing::Length { remaining } => {
                let taken = length.min(*remaining);
                *remaining -= taken;
                self.content.skip(taken);
                if *remaining == 0 {
                    return Hidden::Ended { left: length - taken };
                }
            }
            Framing::Chunked(chunked) => {
                if let Ok(content) = chunked.skip(length) {
                    self.content.skip(content);
                } else {
                    self.lose();
                }
            }
            Framing::UntilClose => self.content.skip(length),
            Framing::Lost(recent) => *recent = Recent::default(),
        }
        Hidden::Within
    }

    /// An operation begins.
    pub(super) fn operation(&mut self) {
        if let Framing::Lost(recent) = &mut self.framing {
            recent.in_operation = 0;
        }
    }

    /// Whether the message is whole, as far as its own bytes tell.
    pub(super) fn is_whole(&self) -> bool {
        match &self.framing {
            Framing::Length { remaining } => *remaining == 0,
            Framing::Chunked(chunked) => chunked.is_whole(),
            Framing::UntilClose | Framing::Lost(_) => false,
        }
    }

    /// Whether an operation that ends here ends a message whose framing was lost, too.
    pub(super) fn ends_with_operation(&self) -> bool {
        matches!(&self.framing, Framing::Lost(recent) if recent.ends())
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.framing, Framing::Lost(_))
    }

    pub(super) fn is_until_close(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    /// Whether the last bytes that moved did so unseen.
    pub(super) fn is_unseen(&self) -> bool {
        self.unseen
    }

    /// The content so far.
    pub(super) fn content(&self) -> &ContentCounter {
        &self.content
    }

    /// The message ends with the call that returned at `time_ns`.
    pub(super) fn end(&self, time_ns: Option<u64>) -> MessageEnd {
        MessageEnd::of(&self.content, time_ns)
    }

    /// Its framing is lost.
    fn lose(&mut self) {
        self.framing = Framing::Lost(Recent::default());
        self.content.lose();
    }
}

impl Recent {
    fn add(&mut self, input: &[u8]) {
        self.in_operation = self.in_operation.saturating_add(input.len() as u64);
        let input = &input[input.len().saturating_sub(END.len())..];
        self.bytes.rotate_left(input.len());
        self.bytes[END.len() - input.len()..].copy_from_slice(input);
    }

    /// Whether these bytes end a chunked message; its last chunk may be an operation of its own.
    fn ends(&self) -> bool {
        self.bytes == END || (self.in_operation == 5 && self.bytes[2..] == END[2..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_counts_what_is_read_and_what_is_hidden() {
        let mut body = Body::of_length(10);
        assert_eq!(body.read(b"abc"), 3);
        assert_eq!(body.hide(4, false), Hidden::Within);
        assert_eq!(body.read(b"hijNEXT"), 3);
        assert!(body.is_whole());
        assert_eq!(body.content().length(), Some(10));
    }

    #[test]
    fn hidden_bytes_may_reach_beyond_the_end() {
        let mut body = Body::of_length(10);
        assert_eq!(body.hide(12, true), Hidden::Ended { left: 2 });
        assert_eq!((body.content().length(), body.is_unseen()), (Some(10), true));
    }

    #[test]
    fn chunks_bear_a_gap_within_their_data_and_no_other() {
        let mut body = Body::chunked();
        body.read(b"a\r\n01");
        assert_eq!(body.hide(6, false), Hidden::Within);
        assert_eq!(body.read(b"89\r\n0\r\n\r\nNEXT"), 9);
        assert!(body.is_whole());
        assert_eq!(body.content().length(), Some(10));

        let mut body = Body::chunked();
        body.read(b"a\r\n01");
        assert_eq!(body.hide(11, false), Hidden::Within);
        assert!(body.is_lost());
        assert_eq!(body.content().length(), None);
        body.read(b"abc\r\n0\r\n\r");
        assert!(!body.ends_with_operation());
        body.read(b"\n");
        assert!(body.ends_with_operation());
    }

    #[test]
    fn a_last_chunk_by_itself_ends_a_message_whose_framing_was_lost() {
        let mut body = Body::lost();
        body.operation();
        body.read(b"xx");
        body.hide(100, false);
        body.operation();
        body.read(b"0\r\n");
        body.read(b"\r\n");
        assert!(body.ends_with_operation());
        body.operation();
        body.read(b"10\r\n\r\n");
        assert!(!body.ends_with_operation());
    }
}
