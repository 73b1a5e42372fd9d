//! The key under which one direction is: which nonce each of its records has.

use super::key::{Nonce, TAG, TrafficKey};
use super::record::{Header, Record};

/// How records are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 5288: each record carries eight bytes of its nonce.
    Tls12,
    /// RFC 8446, section 5.2: the nonce is the number of the record, under a mask.
    Tls13,
}

/// What a record of TLS 1.2 carries of its nonce, in bytes.
const EXPLICIT: usize = 8;

/// How far the explicit parts of the nonces of two records may be from one another, between which records are missing.
/// They count, or count under a mask.
const NEAR: u64 = 1 << 24;

impl Form {
    /// Where in a record the cipher text begins.
    pub(super) fn text_at(self) -> usize {
        match self {
            Self::Tls12 => EXPLICIT,
            Self::Tls13 => 0,
        }
    }

    /// The bytes of cipher text in a record that is as long as this, if one can be.
    pub(super) fn text_length(self, length: usize) -> Option<usize> {
        let text = length.checked_sub(self.text_at() + TAG)?;
        (self == Self::Tls12 || text > 0).then_some(text)
    }

    /// Bytes of a whole record, with its header, that are not what the application says.
    pub(super) fn overhead(self) -> u64 {
        // TLS 1.3 puts the kind of the record behind what it holds.
        (super::record::HEADER + self.text_at() + TAG + usize::from(self == Self::Tls13)) as u64
    }

    /// The nonce of a record, if the key has sealed it. `payload` are all bytes behind the header, and `number` counts
    /// the records of the direction since it has been sealed.
    pub(super) fn prove(self, key: &TrafficKey, header: Header, payload: &[u8], number: u64) -> Option<Nonce> {
        let length = self.text_length(payload.len())?;
        let (text, tag) = payload[self.text_at()..].split_at(length);
        let tag = tag.try_into().ok()?;
        match self {
            Self::Tls13 => key.prove(&header.bytes, text, tag),
            Self::Tls12 => {
                let mut data = [0; 13];
                data[..8].copy_from_slice(&number.to_be_bytes());
                data[8..11].copy_from_slice(&header.bytes[..3]);
                data[11..].copy_from_slice(&(length as u16).to_be_bytes());
                key.prove(&data, text, tag).filter(|nonce| nonce[4..] == payload[..EXPLICIT])
            }
        }
    }
}

/// A key that has proved itself.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) key: TrafficKey,
    pub(super) form: Form,
    /// TLS 1.3: the mask of the numbers of records; TLS 1.2: the nonce of the last record.
    nonce: Nonce,
    /// Of TLS 1.3, the least number that the next record under this key may have; it has this number if none was passed
    /// over. `None` if that is not known: then each record must prove itself.
    pub(super) next: Option<u64>,
    /// Whether the next record is under this key without doubt.
    pub(super) is_trusted: bool,
    /// Whether it has proved itself behind the end of the handshake: only a message of its own changes it then.
    pub(super) is_last: bool,
}

impl Open {
    /// With the nonce of the record on which the key has proved itself, which `is_first` if it is the first under it.
    pub(super) fn new(key: TrafficKey, form: Form, nonce: Nonce, is_first: bool, is_last: bool) -> Self {
        Self { key, form, nonce, next: is_first.then_some(1), is_trusted: false, is_last }
    }

    /// The nonce of the next record, if this is its key. `is_guess`: nobody knows whether it is a record at all.
    pub(super) fn nonce_of(&mut self, record: &Record, is_guess: bool) -> Option<Nonce> {
        match self.form {
            Form::Tls12 => self.explicit_nonce(record, is_guess),
            Form::Tls13 => match self.next {
                Some(next) if self.is_trusted && !is_guess => {
                    self.next = next.checked_add(1);
                    Some(masked(&self.nonce, next))
                }
                _ if record.is_whole() => self.proven_nonce(record.header, &record.payload.bytes),
                _ => None,
            },
        }
    }

    /// Whether it opens a record, of which all is known.
    pub(super) fn opens(&self, header: Header, payload: &[u8]) -> bool {
        match self.form {
            Form::Tls12 => payload.first_chunk().is_some_and(|explicit| self.is_near(*explicit)),
            Form::Tls13 => self.form.prove(&self.key, header, payload, 0).is_some(),
        }
    }

    fn explicit_nonce(&mut self, record: &Record, is_guess: bool) -> Option<Nonce> {
        let explicit = *record.payload.beginning().first_chunk()?;
        if is_guess && !self.is_near(explicit) {
            return None;
        }
        self.nonce[4..].copy_from_slice(&explicit);
        Some(self.nonce)
    }

    fn proven_nonce(&mut self, header: Header, payload: &[u8]) -> Option<Nonce> {
        let nonce = self.form.prove(&self.key, header, payload, 0)?;
        if let Some(next) = self.next {
            // Records may be missing, but none comes twice.
            let number = number(&self.nonce, &nonce).filter(|number| *number >= next)?;
            self.next = number.checked_add(1);
        }
        Some(nonce)
    }

    fn is_near(&self, explicit: [u8; EXPLICIT]) -> bool {
        let [found, last] = [explicit, std::array::from_fn(|index| self.nonce[4 + index])].map(u64::from_be_bytes);
        (found.wrapping_sub(last) < NEAR || found ^ last < NEAR) && found != last
    }
}

/// The nonce of the record with this number.
fn masked(mask: &Nonce, number: u64) -> Nonce {
    let mut nonce = *mask;
    for (byte, own) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= own;
    }
    nonce
}

/// The number of the record with this nonce, if the mask can be its mask.
fn number(mask: &Nonce, nonce: &Nonce) -> Option<u64> {
    let number = std::array::from_fn(|index| mask[4 + index] ^ nonce[4 + index]);
    (mask[..4] == nonce[..4]).then_some(u64::from_be_bytes(number))
}
