//! Connections of hand-made messages: what is reported, and when.

use proptest::prelude::*;

use super::*;
use crate::protocol::spoken::{Spoken, any_calls, in_calls, speak_any};
use crate::transport::segment::Direction::{Request, Response};

/// A message, by its number, that of the message that it answers, and its opcode.
fn message(number: u32, answers: u32, opcode: u32, payload: &[u8]) -> Vec<u8> {
    let head = [payload.len() as u32 + 16, number, answers, opcode];
    [&head.map(u32::to_le_bytes).concat()[..], payload].concat()
}

/// An `OP_MSG` with one section.
fn msg(number: u32, answers: u32, document: &[u8]) -> Vec<u8> {
    message(number, answers, 2013, &[&[0, 0, 0, 0, 0][..], document].concat())
}

fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let elements = elements.concat();
    [&(elements.len() as u32 + 5).to_le_bytes()[..], &elements, &[0]].concat()
}

fn string(key: &str, value: &str) -> Vec<u8> {
    let length = value.len() as u32 + 1;
    [&b"\x02"[..], key.as_bytes(), b"\0", &length.to_le_bytes(), value.as_bytes(), b"\0"].concat()
}

fn int(key: &str, value: i32) -> Vec<u8> {
    [&b"\x10"[..], key.as_bytes(), b"\0", &value.to_le_bytes()].concat()
}

fn double(key: &str, value: f64) -> Vec<u8> {
    [&b"\x01"[..], key.as_bytes(), b"\0", &value.to_le_bytes()].concat()
}

fn nested(kind: u8, key: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    [&[kind][..], key.as_bytes(), b"\0", &document(elements)].concat()
}

fn find(number: u32) -> Vec<u8> {
    let filter = nested(3, "filter", &[string("name", "secret")]);
    msg(number, 0, &document(&[string("find", "orders"), filter, string("$db", "shop")]))
}

fn insert(number: u32) -> Vec<u8> {
    let command = document(&[string("insert", "orders"), string("$db", "shop")]);
    let documents = [&b"documents\0"[..], &document(&[string("name", "secret")])].concat();
    let documents = [&(documents.len() as u32 + 4).to_le_bytes()[..], &documents].concat();
    message(number, 0, 2013, &[&[0, 0, 0, 0, 1][..], &documents, &[0], &command].concat())
}

/// A batch of so many documents.
fn batch(answers: u32, key: &str, count: usize) -> Vec<u8> {
    let documents: Vec<_> =
        (0..count).map(|place| nested(3, &place.to_string(), &[string("name", "secret")])).collect();
    let id = [&b"\x12id\0"[..], &[7; 8]].concat();
    let cursor = nested(3, "cursor", &[nested(4, key, &documents), id, string("ns", "shop.orders")]);
    msg(1000 + answers, answers, &document(&[cursor, double("ok", 1.0)]))
}

fn done(answers: u32) -> Vec<u8> {
    msg(1000 + answers, answers, &document(&[int("n", 2), double("ok", 1.0)]))
}

fn failed(answers: u32, code: i32) -> Vec<u8> {
    let document =
        document(&[double("ok", 0.0), string("errmsg", "no secret"), int("code", code), string("codeName", "X")]);
    msg(1000 + answers, answers, &document)
}

fn command(number: u32, name: &str) -> Vec<u8> {
    msg(number, 0, &document(&[int(name, 1), string("payload", "secret"), string("$db", "admin")]))
}

/// `hello`, as clients say it to servers of which they know nothing.
fn first_hello(number: u32) -> Vec<u8> {
    let document = document(&[int("isMaster", 1), nested(3, "client", &[string("application", "secret")])]);
    message(number, 0, 2004, &[&[0; 4][..], b"admin.$cmd\0", &[0; 4], &[0xff; 4], &document].concat())
}

fn reply(answers: u32) -> Vec<u8> {
    message(1000 + answers, answers, 1, &[&[0; 20][..], &document(&[double("ok", 1.0)])].concat())
}

fn told(stream: u64, asks: &str, sent: &[u8], answered: &[u8], end: &str) -> Vec<String> {
    vec![
        format!("{stream}: mongodb {asks}"),
        format!("{stream}: sent, {} bytes", sent.len()),
        format!("{stream}: answer"),
        format!("{stream}: ended, {} bytes{end}", answered.len()),
    ]
}

fn open() -> Spoken {
    let mut spoken = Spoken::to(27017);
    spoken.client(first_hello(1)).server(reply(1)).tells(&["ready"]);
    spoken
}

#[test]
fn a_connection_is_opened_in_steps() {
    for step in [1, 7, 20, 1000] {
        let mut spoken = Spoken::to(4000);
        for piece in first_hello(1).chunks(step) {
            spoken.client(piece);
        }
        spoken.server(reply(1)).client(command(2, "saslStart")).server(done(2));
        spoken.client(command(3, "saslContinue")).server(done(3)).tells(&["ready", "ready", "ready"]);
        let (ask, answer) = (find(4), batch(4, "firstBatch", 2));
        spoken.client(&ask).server(&answer).tells(&told(1, "find orders", &ask, &answer, ", 2 rows"));
        assert!(!format!("{:?}", spoken.detector).contains("secret"));
    }
    // Of what fails nothing else says that there is no connection.
    let mut spoken = open();
    let (ask, answer) = (command(2, "saslContinue"), failed(2, 18));
    spoken.client(&ask).server(&answer).tells(&told(1, "saslContinue", &ask, &answer, ", error 18"));
}

#[test]
fn a_command_and_its_answer() {
    let mut spoken = open();
    let mut stream = 0;
    let mut ask = |ask: Vec<u8>, answer: Vec<u8>, asks: &str, end: &str| {
        stream += 1;
        spoken.client(&ask).server(&answer).tells(&told(stream, asks, &ask, &answer, end));
        spoken.moments(stream)
    };
    let moments = ask(find(2), batch(2, "firstBatch", 0), "find orders", ", 0 rows");
    assert_eq!(moments, [Some(30), Some(35), Some(39), Some(45), Some(45)]);
    ask(insert(3), done(3), "insert orders", ", 2 rows");
    let more =
        document(&[[&b"\x12getMore\0"[..], &[7; 8]].concat(), string("collection", "orders"), int("batchSize", 2)]);
    ask(msg(4, 0, &more), batch(4, "nextBatch", 3), "getMore orders", ", 3 rows");
    ask(command(5, "ping"), done(5), "ping", "");
    ask(find(6), failed(6, 96), "find orders", ", error 96");
    let twice = nested(4, "writeErrors", &[nested(3, "0", &[int("index", 0), int("code", 11000)])]);
    let answer = msg(9, 7, &document(&[int("n", 0), twice, double("ok", 1.0)]));
    ask(insert(7), answer, "insert orders", ", 0 rows, error 11000");
    // What is no name, and the name of a user.
    ask(msg(8, 0, &document(&[string("a secret", "secret")])), done(8), "COMMAND", "");
    ask(msg(9, 0, &document(&[string("createUser", "secret")])), done(9), "createUser", "");
    ask(message(10, 0, 2012, b"\xdd\x07\0\0\x20\0\0\0\x02compressed"), done(10), "COMMAND", "");
}

#[test]
fn what_nobody_answers_is_left_alone() {
    let mut spoken = open();
    let forgotten = message(2, 0, 2013, &[&[2, 0, 0, 0, 0][..], &document(&[string("insert", "orders")])].concat());
    spoken.client(forgotten).is_silent();
    // A server tells of changes by itself.
    spoken.client(command(3, "hello")).server(done(3)).server(done(2000)).tells(&["ready"]);
    let (ask, answer) = (find(4), batch(4, "firstBatch", 1));
    spoken.client(&ask).server(&answer).tells(&told(1, "find orders", &ask, &answer, ", 1 rows"));
}

#[test]
fn of_documents_the_head_suffices() {
    let mut spoken = open();
    let (ask, answer) = (insert(2), batch(2, "firstBatch", 2000));
    let long = [&ask[..], &[b'x'; 5000]].concat();
    let long = [&(long.len() as u32).to_le_bytes()[..], &long[4..]].concat();
    spoken.call_with_holes(Request, &long, &[(0, 150)], false);
    spoken.call_with_holes(Response, &answer, &[(0, 600)], true);
    spoken.tells(&told(1, "insert orders", &long, &answer, ""));
    let (ask, answer) = (find(3), batch(3, "firstBatch", 1));
    spoken.client(&ask).server(&answer).tells(&told(2, "find orders", &ask, &answer, ", 1 rows"));
}

#[test]
fn what_was_not_captured_is_counted_and_passed_over() {
    let mut spoken = open();
    spoken.call_with_holes(Request, &find(2), &[], false);
    spoken.server(batch(2, "firstBatch", 1)).tells(&["unread"]);
    spoken.client(find(3)).told.lines.clear();
    spoken.gap(Response, 100);
    let (ask, answer) = (find(4), batch(4, "firstBatch", 1));
    spoken.client(&ask).server(&answer);
    let mut lines = told(2, "find orders", &ask, &answer, ", 1 rows");
    lines.insert(2, "1: unseen".to_owned());
    spoken.tells(&lines);
    let mut joined = Spoken::joined_to(4000);
    joined.server(batch(2, "firstBatch", 1)).client(&ask).server(&answer);
    joined.tells(&told(1, "find orders", &ask, &answer, ", 1 rows"));
}

/// A message that has this number, or answers the one that has.
type Numbered = fn(u32) -> Vec<u8>;

fn exchange() -> impl Strategy<Value = (Numbered, Numbered)> {
    let asks = prop::sample::select(vec![find as Numbered, insert, |number| command(number, "hello")]);
    let answers = prop::sample::select(vec![done as Numbered, |answers| failed(answers, 26), |answers| {
        batch(answers, "firstBatch", 2)
    }]);
    (asks, answers)
}

fn turns() -> impl Strategy<Value = Vec<(Direction, Vec<u8>)>> {
    proptest::collection::vec(exchange(), 0..10).prop_map(|exchanges| {
        let mut turns = vec![(Request, first_hello(1)), (Response, reply(1))];
        for ((asks, answers), number) in exchanges.into_iter().zip(2..) {
            turns.extend([(Request, asks(number)), (Response, answers(number))]);
        }
        turns
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(turns in turns(), lengths in proptest::collection::vec(1usize..60, 1..20)) {
        let whole = in_calls(Spoken::to(27017), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(27017), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        prop_assert!(!whole.told.lines.iter().any(|line| line.contains("secret")));
    }

    #[test]
    fn any_bytes_are_read(
        turns in turns(),
        calls in any_calls(),
        joined in any::<bool>(),
    ) {
        speak_any(if joined { Spoken::joined_to(27017) } else { Spoken::to(27017) }, &turns, calls);
    }
}
