//! Both ends of a connection over TLS, as far as what they send looks like: hellos, records that are sealed, and keys.

use crate::transport::segment::Direction;
use crate::transport::tls::hello::RETRY;
use crate::transport::tls::key::{Nonce, TrafficKey};
use crate::transport::tls::open::Form;
use crate::transport::tls::record::content;

/// Seals the records of one direction under one key.
pub(super) struct Sealer {
    pub(super) bytes: Vec<u8>,
    key: TrafficKey,
    form: Form,
    mask: Nonce,
    number: u64,
}

impl Sealer {
    /// With a key that is all `seed`.
    pub(super) fn new(form: Form, length: usize, seed: u8) -> Self {
        let bytes: Vec<u8> = (0..length).map(|place| seed.wrapping_mul(31).wrapping_add(place as u8)).collect();
        let key = TrafficKey::new(&bytes).expect("a key");
        Self { bytes, key, form, mask: [seed ^ 0x5a; 12], number: 0 }
    }

    /// A record that holds this, and so many zeros behind it.
    pub(super) fn seal(&mut self, kind: u8, data: &[u8], padding: usize) -> Vec<u8> {
        let mut nonce = self.mask;
        for (byte, own) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= own;
        }
        let (outer, mut text) = match self.form {
            Form::Tls13 => (content::APPLICATION_DATA, [data, &[kind], &vec![0; padding]].concat()),
            Form::Tls12 => (kind, data.to_vec()),
        };
        self.key.decipher(&nonce, 0, &mut text);
        let length = (text.len() + self.form.text_at() + 16) as u16;
        let header = [&[outer, 3, 3][..], &length.to_be_bytes()].concat();
        let (explicit, additional) = match self.form {
            Form::Tls13 => (&[][..], header.clone()),
            Form::Tls12 => {
                let length = (text.len() as u16).to_be_bytes();
                (&nonce[4..], [&self.number.to_be_bytes()[..], &header[..3], &length].concat())
            }
        };
        let tag = self.key.tag(&nonce, &additional, &text);
        self.number += 1;
        [&header, explicit, &text, &tag].concat()
    }

    /// A record of application data.
    pub(super) fn data(&mut self, data: &[u8]) -> Vec<u8> {
        self.seal(content::APPLICATION_DATA, data, 0)
    }
}

/// A record that is not sealed.
pub(super) fn clear(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(data.len() as u16).to_be_bytes(), data].concat()
}

/// A message of the handshake.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn hello(rest: &[u8]) -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &[0], rest].concat()
}

/// The client's hello, which names `example.org`.
pub(super) fn client_hello() -> Vec<u8> {
    client_hello_with(&[])
}

/// The same with another extension.
pub(super) fn client_hello_with(extension: &[u8]) -> Vec<u8> {
    let extensions = [b"\0\0\0\x10\0\x0e\0\0\x0bexample.org", extension].concat();
    let rest = [&[0, 2, 0x13, 2, 1, 0, 0, extensions.len() as u8][..], &extensions].concat();
    clear(content::HANDSHAKE, &message(1, &hello(&rest)))
}

/// The server's, which chooses this suite.
pub(super) fn server_hello(form: Form, suite: u16) -> Vec<u8> {
    let extensions: &[u8] = match form {
        Form::Tls13 => &[0, 6, 0, 43, 0, 2, 3, 4],
        Form::Tls12 => &[0, 0],
    };
    clear(content::HANDSHAKE, &message(2, &hello(&[&suite.to_be_bytes()[..], &[0], extensions].concat())))
}

/// The server's, which has the client begin again.
pub(super) fn retry() -> Vec<u8> {
    let body = [&[3, 3][..], &RETRY, &[0, 0x13, 2, 0], &[0, 6, 0, 43, 0, 2, 3, 4]].concat();
    clear(content::HANDSHAKE, &message(2, &body))
}

/// What one end sends at a time.
pub(super) struct Flight {
    pub(super) direction: Direction,
    /// Each with what the application says in it.
    pub(super) records: Vec<(Vec<u8>, Vec<u8>)>,
    /// The keys that the process has set up before it receives this, or sends it, ...
    pub(super) before: Vec<Vec<u8>>,
    /// ... and after it has received it.
    pub(super) after: Vec<Vec<u8>>,
}

impl Flight {
    fn new(direction: Direction, records: Vec<Vec<u8>>) -> Self {
        let records = records.into_iter().map(|record| (record, Vec::new())).collect();
        Self { direction, records, before: Vec::new(), after: Vec::new() }
    }
}

/// A connection to the traced process: its handshake, and what both ends say then by turns.
pub(super) fn connection(form: Form, key_length: usize, said: &[(Direction, Vec<Vec<u8>>)]) -> Vec<Flight> {
    let mut sealers = [Sealer::new(form, key_length, 3), Sealer::new(form, key_length, 4)];
    let mut flights = match form {
        Form::Tls13 => handshake_13(key_length, &sealers),
        Form::Tls12 => handshake_12(key_length, &mut sealers),
    };
    for (direction, parts) in said {
        let sealer = &mut sealers[*direction as usize];
        let records = parts.iter().map(|part| (sealer.data(part), part.clone())).collect();
        // The client sends its first request with its last message, so that its key comes later.
        match flights.last_mut() {
            Some(last) if last.direction == *direction => last.records.extend::<Vec<_>>(records),
            _ => flights.push(Flight { records, ..Flight::new(*direction, Vec::new()) }),
        }
    }
    flights
}

fn suite(form: Form, key_length: usize) -> u16 {
    match (form, key_length) {
        (Form::Tls13, 16) => 0x1301,
        (Form::Tls13, _) => 0x1302,
        (Form::Tls12, 16) => 0xc02f,
        (Form::Tls12, _) => 0xc030,
    }
}

fn handshake_13(key_length: usize, sealers: &[Sealer; 2]) -> Vec<Flight> {
    let [mut client, mut server] = [1, 2].map(|seed| Sealer::new(Form::Tls13, key_length, seed));
    let changed = || clear(content::CHANGE_CIPHER_SPEC, &[1]);
    let first = Flight::new(Direction::Request, vec![client_hello()]);
    let extensions = message(8, b"\0\x09\0\x10\0\x05\0\x03\x02h2");
    let certificate = [extensions, message(11, &[5; 700]), message(20, &[6; 32])].concat();
    let (one, other) = certificate.split_at(100);
    let sealed = [one, other].map(|part| server.seal(content::HANDSHAKE, part, 0));
    let [one, other] = sealed;
    let answer = vec![server_hello(Form::Tls13, suite(Form::Tls13, key_length)), changed(), one, other];
    let mut answer = Flight::new(Direction::Response, answer);
    answer.before = vec![server.bytes, client.bytes.clone(), sealers[1].bytes.clone()];
    let finished = client.seal(content::HANDSHAKE, &message(20, &[8; 32]), 0);
    let mut last = Flight::new(Direction::Request, vec![changed(), finished]);
    last.after = vec![sealers[0].bytes.clone()];
    vec![first, answer, last]
}

fn handshake_12(key_length: usize, sealers: &mut [Sealer; 2]) -> Vec<Flight> {
    let changed = || clear(content::CHANGE_CIPHER_SPEC, &[1]);
    let first = Flight::new(Direction::Request, vec![client_hello()]);
    let suite = suite(Form::Tls12, key_length);
    let certificate = clear(content::HANDSHAKE, &[message(11, &[5; 700]), message(14, &[])].concat());
    let answer = Flight::new(Direction::Response, vec![server_hello(Form::Tls12, suite), certificate]);
    let keys = clear(content::HANDSHAKE, &message(16, &[9; 65]));
    let [client, server] = sealers;
    let finished = client.seal(content::HANDSHAKE, &message(20, &[8; 12]), 0);
    let mut second = Flight::new(Direction::Request, vec![keys, changed(), finished]);
    second.after = vec![client.bytes.clone(), server.bytes.clone()];
    let finished = server.seal(content::HANDSHAKE, &message(20, &[7; 12]), 0);
    vec![first, answer, second, Flight::new(Direction::Response, vec![changed(), finished])]
}
