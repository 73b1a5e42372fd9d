//! How many messages a content holds.

use super::base64_stream::{Base64Stream, NotBase64};
use super::{Encoding, Ending, status};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Set in a prefix of gRPC-Web whose message is the trailers.
const TRAILERS: u8 = 0x80;

/// The trailers that are kept, in bytes.
const TRAILERS_MAX: usize = 4096;

/// Counts the messages of one direction of a call.
#[derive(Debug)]
pub struct MessageCounter {
    state: State,
    /// Decodes the content first, if it is text.
    text: Option<Base64Stream>,
    is_web: bool,
    count: u64,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Prefix {
        bytes: [u8; PREFIX],
        length: usize,
    },
    Message {
        left: u32,
        is_trailers: bool,
    },
    /// A prefix was not captured: where the next one is cannot be known.
    Lost,
}

impl State {
    const START: Self = Self::Prefix { bytes: [0; PREFIX], length: 0 };
}

impl MessageCounter {
    /// Counts from the first byte of a content on.
    pub fn new(encoding: Encoding) -> Self {
        let text = (encoding == Encoding::WebText).then(Base64Stream::default);
        let is_web = encoding != Encoding::Binary;
        Self { state: State::START, text, is_web, count: 0, trailers: Vec::new() }
    }

    /// The next bytes of the content.
    pub fn read(&mut self, input: &[u8]) {
        let Some(mut text) = self.text else { return self.read_binary(input) };
        for &character in input {
            match text.push(character) {
                Ok(Some(decoded)) => self.read_binary(decoded.bytes()),
                Ok(None) => {}
                Err(NotBase64) => self.lose(),
            }
        }
        self.text = Some(text);
    }

    fn read_binary(&mut self, mut input: &[u8]) {
        while let Some(&first) = input.first() {
            match &mut self.state {
                State::Lost => return,
                State::Prefix { bytes, length } => {
                    bytes[*length] = first;
                    *length += 1;
                    input = &input[1..];
                    if *length == PREFIX {
                        let [flags, l0, l1, l2, l3] = *bytes;
                        let left = u32::from_be_bytes([l0, l1, l2, l3]);
                        self.state = State::Message { left, is_trailers: self.is_web && flags & TRAILERS != 0 };
                        self.end_message();
                    }
                }
                State::Message { left, is_trailers } => {
                    let length = input.len().min(*left as usize);
                    let (message, rest) = input.split_at(length);
                    if *is_trailers {
                        let room = TRAILERS_MAX - self.trailers.len();
                        self.trailers.extend_from_slice(&message[..length.min(room)]);
                    }
                    *left -= length as u32;
                    input = rest;
                    self.end_message();
                }
            }
        }
    }

    /// The next bytes of the content were not captured.
    pub fn skip(&mut self, mut length: u64) {
        if self.text.is_some() {
            // Padding may lie among them, so that nobody knows how many bytes they stand for.
            return self.lose();
        }
        if let State::Message { left, .. } = &mut self.state {
            let skipped = length.min((*left).into());
            *left -= skipped as u32;
            length -= skipped;
            self.end_message();
        }
        if length > 0 {
            self.lose();
        }
    }

    /// Nothing is known of the messages from here on.
    pub fn lose(&mut self) {
        self.state = State::Lost;
    }

    /// What was found.
    pub fn ending(&self) -> Ending {
        let is_lost = matches!(self.state, State::Lost);
        Ending { messages: (!is_lost).then_some(self.count), status: self.status() }
    }

    fn end_message(&mut self) {
        if let State::Message { left: 0, is_trailers } = self.state {
            self.count += u64::from(!is_trailers);
            self.state = State::START;
        }
    }

    /// `grpc-status` among the trailers of gRPC-Web, which are lines as in a head of HTTP/1.
    fn status(&self) -> Option<u32> {
        self.trailers.split(|&byte| byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = (line[..colon].trim_ascii(), &line[colon + 1..]);
            name.eq_ignore_ascii_case(b"grpc-status").then(|| status(value)).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn message(flags: u8, length: u32) -> Vec<u8> {
        let mut message = vec![flags];
        message.extend(length.to_be_bytes());
        message.resize(PREFIX + length as usize, b'x');
        message
    }

    #[test]
    fn compressed_and_empty_messages_count_and_a_partial_one_does_not() {
        let mut counter = MessageCounter::new(Encoding::Binary);
        assert_eq!(counter.ending(), Ending { messages: Some(0), status: None });
        counter.read(&[message(0, 3), message(1, 7), message(0, 0)].concat());
        assert_eq!(counter.ending().messages, Some(3));
        counter.read(&message(0, 100)[..104]);
        assert_eq!(counter.ending().messages, Some(3));
        counter.read(b"x");
        assert_eq!(counter.ending().messages, Some(4));
    }

    #[test]
    fn a_hole_hides_a_message_and_not_a_prefix() {
        let mut counter = MessageCounter::new(Encoding::Binary);
        counter.read(&message(0, 1000)[..16]);
        counter.skip(1000 + 5 - 16);
        assert_eq!(counter.ending().messages, Some(1));
        counter.read(&message(0, 1000)[..16]);
        counter.skip(1000 + 5 - 16 + 1);
        assert_eq!(counter.ending().messages, None);
        counter.read(&message(0, 1));
        assert_eq!(counter.ending().messages, None);
        // In a prefix.
        let mut counter = MessageCounter::new(Encoding::Binary);
        counter.read(&[0]);
        counter.skip(1);
        assert_eq!(counter.ending().messages, None);
    }

    #[test]
    fn grpc_web_has_its_status_behind_the_messages() {
        let mut trailers = b"\x80\0\0\0\x23Grpc-Message: no\r\ngrpc-status: 13\r\n".to_vec();
        trailers[4] = (trailers.len() - PREFIX) as u8;
        let content = [message(0, 3), trailers.clone()].concat();
        let mut counter = MessageCounter::new(Encoding::Web);
        counter.read(&content);
        assert_eq!(counter.ending(), Ending { messages: Some(1), status: Some(13) });
        // Elsewhere the bit means nothing.
        let mut counter = MessageCounter::new(Encoding::Binary);
        counter.read(&content);
        assert_eq!(counter.ending(), Ending { messages: Some(2), status: None });
        // More trailers than are kept.
        let mut counter = MessageCounter::new(Encoding::Web);
        counter.read(&message(0x80, 100_000));
        assert_eq!(counter.ending(), Ending { messages: Some(0), status: None });
        assert_eq!(counter.trailers.len(), TRAILERS_MAX);
    }

    #[test]
    fn grpc_web_as_text_is_padded_wherever_the_server_likes() {
        let trailers = b"\x80\0\0\0\x10grpc-status: 5\r\n";
        let parts = [&message(0, 1)[..], &message(1, 2), &message(0, 0), trailers];
        let whole = STANDARD.encode(parts.concat());
        let padded: String = parts.iter().map(|part| STANDARD.encode(part)).collect();
        assert!(padded.len() > whole.len() && padded[..padded.len() - 4].contains('='));
        for text in [whole, padded.clone()] {
            for size in [1, 3, 1000] {
                let mut counter = MessageCounter::new(Encoding::WebText);
                text.as_bytes().chunks(size).for_each(|part| counter.read(part));
                assert_eq!(counter.ending(), Ending { messages: Some(3), status: Some(5) }, "{text}");
            }
        }
        let mut counter = MessageCounter::new(Encoding::WebText);
        counter.read(b"AAAA*AAA");
        counter.read(padded.as_bytes());
        assert_eq!(counter.ending(), Ending::UNKNOWN);
        let mut counter = MessageCounter::new(Encoding::WebText);
        counter.read(&padded.as_bytes()[..4]);
        counter.skip(4);
        assert_eq!(counter.ending(), Ending::UNKNOWN);
    }

    proptest! {
        #[test]
        fn however_the_content_is_cut_and_whatever_is_hidden(
            lengths in proptest::collection::vec(0u32..40, 0..8),
            cuts in proptest::collection::vec((1usize..9, any::<bool>()), 1..400),
        ) {
            let content: Vec<u8> = lengths.iter().flat_map(|&length| message(1, length)).collect();
            let (mut whole, mut holed) =
                (MessageCounter::new(Encoding::Binary), MessageCounter::new(Encoding::Binary));
            let mut rest = &content[..];
            for (cut, hidden) in cuts.iter().cycle() {
                let (first, others) = rest.split_at((*cut).min(rest.len()));
                whole.read(first);
                if *hidden {
                    holed.skip(first.len() as u64);
                } else {
                    holed.read(first);
                }
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            let count = Some(lengths.len() as u64);
            prop_assert_eq!(whole.ending().messages, count);
            // Absent, and never wrong.
            prop_assert!(holed.ending().messages.is_none_or(|messages| Some(messages) == count));
        }
    }
}
