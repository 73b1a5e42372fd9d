//! Records that wait for their key.

use std::collections::VecDeque;

use super::{Half, Reading};
use crate::model::tls::Sealing;
use crate::transport::tls::key::Nonce;
use crate::transport::tls::keys::Wanted;
use crate::transport::tls::open::{Form, Open};
use crate::transport::tls::record::Record;

/// What may wait for its key in one direction: records, and bytes of them.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Of the records that wait, the first ones are tried with a new key.
const TRIED_MAX: usize = 8;

/// A record that waits for its key.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) record: Record,
    /// As [`Half::count`].
    pub(super) number: u64,
    /// Keys with a lower number have been tried.
    pub(super) tried: u64,
}

/// Those of one direction, in their order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Waiting>,
    bytes: usize,
    has_overflowed: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether more had to wait than there is room for.
    pub(super) fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    fn insert(&mut self, place: usize, waiting: Waiting) {
        self.bytes += waiting.record.payload.bytes.len();
        self.records.insert(place, waiting);
    }

    fn remove(&mut self, place: usize) -> Option<Waiting> {
        let waiting = self.records.remove(place)?;
        self.bytes -= waiting.record.payload.bytes.len();
        Some(waiting)
    }
}

/// What becomes of a record.
pub(super) enum Verdict {
    /// It has this nonce.
    Opened(Nonce),
    /// It is not known as a whole, so nothing can prove what it is.
    Hole,
    /// No key that is known has sealed it.
    Wait,
}

impl Half {
    pub(super) fn wait(&mut self, waiting: Waiting, reading: &mut Reading<'_>) {
        self.waiting.insert(self.waiting.len(), waiting);
        while self.waiting.len() > WAITING_MAX || self.waiting.bytes > WAITING_BYTES_MAX {
            self.waiting.has_overflowed = true;
            self.drop_waiting(1, reading);
        }
    }

    /// Which nonce a record has. `is_pristine`: every record since the last one that was opened is known.
    pub(super) fn judge(&mut self, waiting: &mut Waiting, is_pristine: bool, reading: &mut Reading<'_>) -> Verdict {
        let Waiting { record, number, tried } = waiting;
        if let Some(open) = &mut self.open
            && let Some(nonce) = open.nonce_of(record, self.lost.is_some())
        {
            return Verdict::Opened(nonce);
        }
        if !record.is_whole() {
            return Verdict::Hole;
        }
        let length = match reading.handshake.sealing() {
            Some(Sealing::AesGcm { key_length }) => Some(key_length),
            Some(Sealing::ChaCha20) => return Verdict::Wait,
            // Its name is not known here, or the server's hello is not.
            Some(Sealing::Other) | None => None,
        };
        let forms: &[Form] = match reading.handshake.form() {
            Some(Form::Tls13) => &[Form::Tls13],
            Some(Form::Tls12) => &[Form::Tls12],
            None => &[Form::Tls13, Form::Tls12],
        };
        let Reading { keys, process, thread, handshake, .. } = reading;
        let wanted = Wanted { process: *process, thread: *thread, from: *tried, length };
        *tried = keys.count(*process);
        let proven = keys.find(wanted, |key| {
            let nonce = |form: &Form| Some((*form, form.prove(key, record.header, &record.payload.bytes, *number)?));
            forms.iter().find_map(nonce)
        });
        let Some(proven) = proven else { return Verdict::Wait };
        let (form, nonce) = proven.by;
        handshake.opened_by(proven.library, form, proven.key.length());
        self.messages.restart();
        self.open = Some(Open::new(proven.key, form, nonce, is_pristine, self.is_finished));
        Verdict::Opened(nonce)
    }

    /// Tries to open what waits.
    pub(super) fn open_waiting(&mut self, reading: &mut Reading<'_>) {
        let mut place = 0;
        let mut is_pristine = self.is_pristine();
        while place < self.waiting.len().min(TRIED_MAX) {
            let Some(mut waiting) = self.waiting.remove(place) else { return };
            match self.judge(&mut waiting, is_pristine, reading) {
                Verdict::Opened(nonce) => {
                    self.drop_waiting(place, reading);
                    self.opened(waiting.record, &nonce, reading);
                    (place, is_pristine) = (0, self.is_pristine());
                }
                verdict @ (Verdict::Hole | Verdict::Wait) => {
                    is_pristine &= matches!(verdict, Verdict::Wait);
                    self.waiting.insert(place, waiting);
                    place += 1;
                }
            }
        }
    }

    /// Gives up waiting for the keys of the first `count` records.
    pub(super) fn drop_waiting(&mut self, count: usize, reading: &mut Reading<'_>) {
        for _ in 0..count {
            let Some(Waiting { record, .. }) = self.waiting.remove(0) else { return };
            self.pass_over(record, reading);
        }
    }
}
