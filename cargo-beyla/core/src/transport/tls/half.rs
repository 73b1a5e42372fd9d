//! One direction of a connection over TLS: cipher text -> what the application says.

mod waiting;

use super::carried::Carried;
use super::handshake::Handshake;
use super::key::Nonce;
use super::keys::Keys;
use super::messages::{FINISHED, KEY_UPDATE, Messages};
use super::open::{Form, Open};
use super::plaintext::{captured, decipher, inner};
use super::record::{HEADER, Header, Partial, Payload, Record, Times, content, may_begin_record};
use crate::transport::segment::{Arrival, Direction, Segment};
use waiting::{Queue, Verdict, Waiting};

/// The records that are tried in one call to find the step again.
const FOUND_MAX: usize = 64;

/// The beginning of a message of TLS 1.3 by which a direction changes its key: RFC 8446, section 4.6.3.
const KEY_UPDATE_HEAD: [u8; 4] = [KEY_UPDATE, 0, 0, 1];

/// What one direction of a connection needs of the others while it reads.
pub(super) struct Reading<'a> {
    pub(super) keys: &'a mut Keys,
    /// Whose keys are tried, and the thread whose keys come first.
    pub(super) process: u32,
    pub(super) thread: u32,
    pub(super) handshake: &'a mut Handshake,
    pub(super) to: &'a mut dyn Carried,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Half {
    direction: Direction,
    /// The record at hand; `None` while nobody knows where one begins.
    record: Option<Partial>,
    /// Bytes were missed, and no record has proved itself since.
    lost: Option<Lost>,
    /// Records since the last one that was opened.
    passed_over: u64,
    /// Whether the sender has said that it seals what follows.
    has_changed_cipher: bool,
    /// Records since then, or since the first one that was sealed.
    count: u64,
    open: Option<Open>,
    waiting: Queue,
    /// How much the application has said.
    plain: u64,
    has_data: bool,
    messages: Messages,
    is_finished: bool,
}

/// Where the step was lost.
#[derive(Clone, Copy, Debug)]
struct Lost {
    /// Offset of the first byte that belongs to no record that was read.
    from: u64,
    /// The number of the record there under its key, if that is known.
    number: Option<u64>,
}

impl Half {
    /// Its first record begins at this offset, behind so much that was not sealed.
    pub(super) fn new(direction: Direction, at: u64) -> Self {
        Self {
            direction,
            record: Some(Partial::at(at, Payload::default())),
            lost: None,
            passed_over: 0,
            has_changed_cipher: false,
            count: 0,
            open: None,
            waiting: Queue::default(),
            plain: at,
            has_data: false,
            messages: Messages::default(),
            is_finished: false,
        }
    }

    /// Whether anything that the application says has been read.
    pub(super) fn has_data(&self) -> bool {
        self.has_data
    }

    /// How many records were sealed so far, under the last keys.
    pub(super) fn sealed(&self) -> u64 {
        self.count
    }

    pub(super) fn has_overflowed(&self) -> bool {
        self.waiting.has_overflowed()
    }

    /// A call moved bytes.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, reading: &mut Reading<'_>) {
        let mut at = segment.start;
        for (offset, bytes) in segment.pieces() {
            self.skip(at, offset - at, Some(segment), reading);
            self.feed(offset, bytes, segment, reading);
            at = offset + bytes.len() as u64;
        }
        self.skip(at, segment.end() - at, Some(segment), reading);
    }

    /// Bytes moved without a record.
    pub(super) fn gap(&mut self, at: u64, length: u64, reading: &mut Reading<'_>) {
        self.skip(at, length, None, reading);
    }

    /// The process has set up another key.
    pub(super) fn key_came(&mut self, reading: &mut Reading<'_>) {
        self.open_waiting(reading);
    }

    /// Nothing follows any more.
    pub(super) fn stop(&mut self, end: u64, reading: &mut Reading<'_>) {
        self.drop_waiting(self.waiting.len(), reading);
        if let Some(lost) = self.lost.take() {
            self.miss(end.saturating_sub(lost.from), reading);
        }
    }

    fn feed(&mut self, mut offset: u64, mut bytes: &[u8], segment: &Segment<'_>, reading: &mut Reading<'_>) {
        while !bytes.is_empty() {
            let Some(record) = &mut self.record else {
                let Some(skipped) = self.find(bytes, reading) else { return };
                (offset, bytes) = (offset + skipped as u64, &bytes[skipped..]);
                self.record = Some(Partial::at(offset, Payload::default()));
                continue;
            };
            if record.is_new() {
                record.swap_room(&mut reading.keys.scratch);
            }
            if let Ok(taken) = record.feed(offset, bytes, segment) {
                (offset, bytes) = (offset + taken as u64, &bytes[taken..]);
                self.moved(reading);
            } else {
                // What is here may be the beginning of another record, but not of this one.
                (offset, bytes) = (offset + 1, &bytes[1..]);
                self.lose(reading);
            }
        }
        if let Some(record) = self.record.as_mut().filter(|record| record.is_new()) {
            record.swap_room(&mut reading.keys.scratch);
        }
    }

    fn skip(&mut self, mut offset: u64, mut length: u64, segment: Option<&Segment<'_>>, reading: &mut Reading<'_>) {
        while length > 0 {
            let Some(record) = &mut self.record else { return };
            let Ok(skipped) = record.skip(offset, length, segment) else { return self.lose(reading) };
            (offset, length) = (offset + skipped, length - skipped);
            self.moved(reading);
        }
    }

    /// Whether every record since the last one that was opened is known.
    fn is_pristine(&self) -> bool {
        self.passed_over == 0 && self.lost.is_none()
    }

    /// Nobody knows any more where a record begins.
    fn lose(&mut self, reading: &mut Reading<'_>) {
        let Some(record) = self.record.take() else { return };
        let number = self.open.as_ref().and_then(|open| open.next).map(|next| next.saturating_add(self.passed_over));
        self.lost.get_or_insert(Lost { from: record.offset(), number });
        self.messages.lose();
        if let Some(open) = &mut self.open {
            open.is_trusted = false;
        }
        reading.keys.scratch = record.into_room();
    }

    /// Where in these bytes a record begins. It proves itself later.
    fn find(&self, bytes: &[u8], reading: &Reading<'_>) -> Option<usize> {
        let form = self.open.as_ref().map(|open| open.form).or(reading.handshake.form()).unwrap_or(Form::Tls13);
        let mut guess = None;
        let mut tried = 0;
        for start in memchr::memchr_iter(content::APPLICATION_DATA, bytes) {
            let Some(header) = bytes[start..].first_chunk().and_then(|head| Header::parse(*head)) else { continue };
            let payload = &bytes[start + HEADER..];
            if form.text_length(header.length()).is_none() {
                continue;
            }
            match (payload.split_at_checked(header.length()), &self.open) {
                (Some((payload, _)), Some(open)) if open.opens(header, payload) => return Some(start),
                // Its key may be another one by now.
                (Some((_, behind)), _) if may_begin_record(behind) => return Some(start),
                (None, _) if guess.is_none() => guess = Some(start),
                _ => {}
            }
            tried += 1;
            if tried > FOUND_MAX {
                break;
            }
        }
        guess
    }

    /// Bytes of the record at hand have moved.
    fn moved(&mut self, reading: &mut Reading<'_>) {
        let record = self.record.as_mut().and_then(|record| record.take_if_moved(&mut reading.keys.scratch));
        if let Some(record) = record {
            self.read(record, reading);
        }
    }

    fn read(&mut self, record: Record, reading: &mut Reading<'_>) {
        let is_tls13 = reading.handshake.form() == Some(Form::Tls13);
        let kind = record.header.content();
        if kind == content::CHANGE_CIPHER_SPEC {
            if !is_tls13 {
                self.change_cipher();
            }
        } else if kind == content::APPLICATION_DATA || (self.has_changed_cipher && !is_tls13) {
            return self.read_sealed(record, reading);
        } else if self.lost.is_none() {
            if record.is_whole() {
                self.content(kind, &record.payload.bytes, record.times, reading);
            } else {
                self.messages.lose();
            }
        }
        reading.keys.scratch = record.payload;
    }

    /// The records that follow are under a new key, of TLS 1.2.
    fn change_cipher(&mut self) {
        self.has_changed_cipher = true;
        self.count = 0;
        self.open = None;
        self.passed_over = 0;
        self.messages.restart();
    }

    /// Messages or an alert.
    fn content(&mut self, kind: u8, bytes: &[u8], times: Times, reading: &mut Reading<'_>) {
        let Reading { handshake, to, .. } = reading;
        match kind {
            content::HANDSHAKE => {
                let mut changes_key = false;
                self.messages.read(bytes, |kind, body| {
                    self.is_finished |= kind == FINISHED;
                    changes_key |= kind == KEY_UPDATE;
                    handshake.message(self.direction, (kind, body), times, &mut **to);
                });
                if let Some(open) = &mut self.open {
                    open.is_trusted = open.is_last && !changes_key && self.messages.are_known();
                }
            }
            content::ALERT => handshake.alert(self.direction, bytes, times, &mut **to),
            _ => {}
        }
    }

    fn read_sealed(&mut self, record: Record, reading: &mut Reading<'_>) {
        // The first that TLS 1.2 seals is the end of its handshake.
        let is_finished = self.count == 0 && record.header.content() == content::HANDSHAKE;
        let finished_ns = (is_finished && self.lost.is_none()).then_some(record.times.end_ns);
        let mut waiting = Waiting { record, number: self.count, tried: 0 };
        self.count += 1;
        if self.waiting.is_empty() {
            match self.judge(&mut waiting, self.is_pristine(), reading) {
                Verdict::Opened(nonce) => self.opened(waiting.record, &nonce, reading),
                Verdict::Hole => self.pass_over(waiting.record, reading),
                Verdict::Wait if self.lost.is_some() && self.open.is_some() => {
                    // It was a guess, and is no record.
                    self.record = None;
                    reading.keys.scratch = waiting.record.payload;
                }
                Verdict::Wait => self.wait(waiting, reading),
            }
        } else {
            self.wait(waiting, reading);
            self.open_waiting(reading);
        }
        if let Some(finished_ns) = finished_ns {
            self.is_finished = true;
            reading.handshake.finished(self.direction, finished_ns, reading.to);
        }
    }

    /// Nobody can tell what a record holds.
    fn pass_over(&mut self, record: Record, reading: &mut Reading<'_>) {
        self.passed_over += 1;
        let form = self.open.as_ref().map(|open| open.form);
        // What belongs to the handshake is not missed.
        if self.lost.is_none() && (self.has_data || self.is_finished) {
            let form = form.or(reading.handshake.form()).unwrap_or(Form::Tls13);
            let length = (HEADER + record.header.length()) as u64;
            self.miss(length.saturating_sub(form.overhead()), reading);
        }
        reading.keys.scratch = record.payload;
    }

    /// Bytes that the application says are missing.
    fn miss(&mut self, length: u64, reading: &mut Reading<'_>) {
        if length > 0 {
            self.plain += length;
            reading.handshake.begins(reading.to);
            reading.to.gap(self.direction, length);
        }
    }

    /// A record has its nonce.
    fn opened(&mut self, record: Record, nonce: &Nonce, reading: &mut Reading<'_>) {
        let Some((form, next)) = self.open.as_ref().map(|open| (open.form, open.next)) else { return };
        self.passed_over = 0;
        if let Some(lost) = self.lost.take() {
            let length = record.at.saturating_sub(lost.from);
            // If it is not known how many records are missing, they had 16 KiB each.
            let known = lost.number.zip(next).and_then(|(number, next)| (next - 1).checked_sub(number));
            let records = known.unwrap_or(length.div_ceil((1 << 14) + form.overhead()));
            self.miss(length.saturating_sub(records.saturating_mul(form.overhead())), reading);
        }
        let Record { header, mut payload, times, .. } = record;
        let Some(text_length) = form.text_length(header.length()) else { return };
        let Some(open) = &mut self.open else { return };
        let text = decipher(open, nonce, &mut payload, text_length);
        let (kind, length) = match form {
            Form::Tls12 => (Some(header.content()), text_length),
            Form::Tls13 => inner(&payload, text, text_length),
        };
        // Data may be early, before the end of the handshake. What follows then is under another key.
        let has_last_key = self.is_finished || !reading.handshake.has_early_data(self.direction);
        match kind {
            Some(content::APPLICATION_DATA) => open.is_trusted = has_last_key,
            Some(_) => open.is_trusted = false,
            // Its last byte, which says what it is, is not known.
            None => {
                let beginning = payload.beginning();
                let is_known = beginning.len() > KEY_UPDATE_HEAD.len() && !beginning.starts_with(&KEY_UPDATE_HEAD);
                open.is_trusted = is_known && has_last_key;
            }
        }
        match kind {
            Some(content::APPLICATION_DATA) | None => self.data(&payload, text, length, times, reading),
            Some(kind) if payload.parts.len() == 1 && payload.parts[0] == (0, text_length) => {
                let content = text..text + length;
                self.content(kind, &payload.bytes[content], times, reading);
            }
            Some(_) => self.messages.lose(),
        }
        reading.keys.scratch = payload;
    }

    /// The application says something: so many bytes, those of the payload from `from` on.
    fn data(&mut self, payload: &Payload, from: usize, length: usize, times: Times, reading: &mut Reading<'_>) {
        self.has_data = true;
        if length == 0 {
            return;
        }
        reading.handshake.begins(reading.to);
        let captured = captured(payload, from, length, &mut reading.keys.pieces);
        let segment = Segment {
            direction: self.direction,
            start: self.plain,
            begin_ns: times.begin_ns,
            end_ns: times.end_ns,
            length: length as u64,
            captured,
            before: 0,
            tail: None,
            arrival: Arrival::Record { first_ns: times.arrived_ns, last_ns: times.last_arrived_ns },
        };
        self.plain += length as u64;
        reading.to.plaintext(&segment);
    }
}
