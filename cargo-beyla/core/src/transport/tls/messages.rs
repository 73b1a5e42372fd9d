//! The messages of a handshake in one direction: RFC 8446, section 4. A record may hold several, and one may take up
//! several records.

/// Kinds of messages that say something here.
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const FINISHED: u8 = 20;
pub(super) const KEY_UPDATE: u8 = 24;

/// The longest message that is kept, in bytes. Hellos with keys that withstand quantum computers have about 2,000.
const KEPT_MAX: usize = 16 * 1024;

/// How far the messages are read.
#[derive(Debug, Default)]
pub(super) struct Messages {
    head: [u8; 4],
    head_length: usize,
    /// Bytes of the message at hand that are still to come.
    left: usize,
    body: Vec<u8>,
    /// A part of a message is missing, so nobody knows where the next one begins.
    is_lost: bool,
}

impl Messages {
    /// The content of a record. `take` is given the kind and the body of each message that is whole; the body is empty
    /// where it is not wanted.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut take: impl FnMut(u8, &[u8])) {
        while !self.is_lost && !bytes.is_empty() {
            if self.head_length < self.head.len() {
                let (part, rest) = bytes.split_at(bytes.len().min(self.head.len() - self.head_length));
                self.head[self.head_length..][..part.len()].copy_from_slice(part);
                self.head_length += part.len();
                bytes = rest;
                if self.head_length < self.head.len() {
                    return;
                }
                let [_, length @ ..] = self.head;
                self.left = length.into_iter().fold(0, |length, byte| length << 8 | usize::from(byte));
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.left));
            if self.is_wanted() && self.body.len() + part.len() <= KEPT_MAX {
                self.body.extend_from_slice(part);
            }
            self.left -= part.len();
            bytes = rest;
            if self.left == 0 {
                take(self.head[0], &self.body);
                *self = Self::default();
            }
        }
    }

    /// Whether it is known what the messages are.
    pub(super) fn are_known(&self) -> bool {
        !self.is_lost
    }

    /// Bytes of messages are missing.
    pub(super) fn lose(&mut self) {
        *self = Self { is_lost: true, ..Self::default() };
    }

    /// Messages begin again: they are under another key.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    fn is_wanted(&self) -> bool {
        matches!(self.head[0], CLIENT_HELLO | SERVER_HELLO | ENCRYPTED_EXTENSIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let (mut messages, mut read) = (Messages::default(), Vec::new());
        for part in parts {
            messages.read(part, |kind, body| read.push((kind, body.to_vec())));
        }
        read
    }

    #[test]
    fn messages_are_found_however_records_cut_them() {
        let bytes = [&[SERVER_HELLO, 0, 0, 3, 1, 2, 3][..], &[11, 0, 1, 0], &[9; 256], &[FINISHED, 0, 0, 0]].concat();
        let expected = vec![(SERVER_HELLO, vec![1, 2, 3]), (11, vec![]), (FINISHED, vec![])];
        for cut in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), expected, "{cut}");
        }
    }

    #[test]
    fn behind_a_loss_nothing_is_read_until_they_begin_again() {
        let mut messages = Messages::default();
        messages.lose();
        messages.read(&[FINISHED, 0, 0, 0], |_, _| panic!("nobody knows whether it is one"));
        messages.restart();
        let mut any = false;
        messages.read(&[FINISHED, 0, 0, 0], |_, _| any = true);
        assert!(any);
    }
}
