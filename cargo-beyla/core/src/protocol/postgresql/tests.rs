//! Connections of hand-made and of recorded messages: what is told of them, and when.

mod losses;
mod recorded;
mod splits;

use super::*;
use crate::protocol::spoken::Spoken;
use crate::transport::segment::Direction::{Request, Response};

/// A message.
fn message(kind: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    [&[kind][..], &(payload.len() as u32 + 4).to_be_bytes(), payload].concat()
}

fn packet(code: u32, payload: &str) -> Vec<u8> {
    [&(payload.len() as u32 + 8).to_be_bytes()[..], &code.to_be_bytes(), payload.as_bytes()].concat()
}

fn ssl_request() -> Vec<u8> {
    packet(80_877_103, "")
}

fn startup() -> Vec<u8> {
    packet(0x0003_0000, "user\0alice\0database\0shop\0\0")
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0"))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', [format!("{name}\0{sql}\0").as_bytes(), &[0, 0]].concat())
}

fn bind(portal: &str, name: &str) -> Vec<u8> {
    message(b'B', [format!("{portal}\0{name}\0").as_bytes(), b"\0\0\0\x01\0\0\0\x06secret\0\0"].concat())
}

fn describe(what: &str) -> Vec<u8> {
    message(b'D', format!("{what}\0"))
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0"))
}

fn close(what: &str) -> Vec<u8> {
    message(b'C', format!("{what}\0"))
}

fn sync() -> Vec<u8> {
    message(b'S', "")
}

fn flush() -> Vec<u8> {
    message(b'H', "")
}

/// What a server says when a message is done that has nothing to tell.
fn done(kind: u8) -> Vec<u8> {
    message(kind, "")
}

fn rows(number: usize) -> Vec<u8> {
    [message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"), row().repeat(number)].concat()
}

fn row() -> Vec<u8> {
    message(b'D', "\0\x01\0\0\0\x06secret")
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0"))
}

fn failed(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mthe secret does not exist\0\0"))
}

fn ready() -> Vec<u8> {
    message(b'Z', "I")
}

/// What is told of a query: what it asks for, what was sent, what was answered, and how it ended.
fn told(stream: u64, asks: &str, sent: &[u8], answered: &[u8], end: &str) -> Vec<String> {
    let mut lines = asked(stream, asks, sent);
    lines.extend(ended(stream, answered, end));
    lines
}

fn asked(stream: u64, asks: &str, sent: &[u8]) -> Vec<String> {
    vec![format!("{stream}: postgresql {asks}"), format!("{stream}: sent, {} bytes", sent.len())]
}

fn ended(stream: u64, answered: &[u8], end: &str) -> Vec<String> {
    vec![format!("{stream}: answer"), format!("{stream}: ended, {} bytes{end}", answered.len())]
}

/// The client is logged in.
fn open() -> Spoken {
    let mut spoken = Spoken::to(5432);
    let welcome = [message(b'R', [0; 4]), message(b'S', "TimeZone\0UTC\0"), message(b'K', [0; 8]), ready()].concat();
    spoken.client(startup()).server(welcome).tells(&["ready"]);
    spoken
}

#[test]
fn a_login_ends_when_the_server_is_ready() {
    let mut spoken = Spoken::to(5432);
    spoken.client(ssl_request()).server("N").client(startup());
    spoken.server(message(b'R', b"\0\0\0\x03")).client(message(b'p', "secret\0")).is_silent();
    spoken.server([message(b'R', [0; 4]), ready()].concat()).tells(&["ready"]);
    assert_eq!(spoken.told.times, [(0, "ready", Some(65))]);
    assert!(!format!("{:?}", spoken.detector).contains("secret"));
}

#[test]
fn a_login_that_fails_is_a_call() {
    let mut spoken = Spoken::to(5432);
    let failed = failed("28P01");
    let ended = format!("1: ended, {} bytes, error 28P01", failed.len());
    spoken.client(startup()).server(message(b'R', b"\0\0\0\x03")).client(message(b'p', "secret\0")).server(&failed);
    spoken.tells(&["1: postgresql CONNECT", "1: sent, 0 bytes", "1: answer", &ended]);
    assert_eq!(spoken.moments(1), [Some(10), Some(15), Some(39), Some(45), Some(45)]);
}

#[test]
fn what_is_asked_before_a_login_fails_has_no_answer() {
    let mut spoken = Spoken::to(5432);
    spoken.client(startup()).client(query("BEGIN")).server(failed("28P01"));
    assert_eq!(spoken.told.lines[2..4], ["1: unseen", "2: postgresql CONNECT"]);
    assert_eq!(spoken.outcomes(), ["BEGIN open", "CONNECT, error 28P01"]);
}

#[test]
fn what_is_not_read_is_given_up() {
    let replication = packet(0x0003_0000, "user\0a\0replication\0database\0\0");
    Spoken::to(5432).client(replication).tells(&["given up: Unreadable"]);
    Spoken::to(5432).client(packet(0x0003_0000, "user\0a\0replication\0off\0\0")).is_silent();
    // To cancel what another connection does is no call.
    Spoken::to(5432).client(packet(80_877_102, "12345678")).stop().is_silent();
    let mut both = open();
    both.client(query("SELECT 1")).server(message(b'W', "\0\0\0"));
    both.tells(&["1: postgresql SELECT | SELECT ?", "1: sent, 14 bytes", "1: unseen", "given up: Unreadable"]);
}

#[test]
fn a_simple_query_may_hold_several_statements() {
    let mut spoken = open();
    let mut ask = |stream, sql: &str, answer: Vec<u8>, asks: &str, end: &str| {
        let ask = query(sql);
        spoken.client(&ask).server(&answer).tells(&told(stream, asks, &ask, &answer, end));
        spoken.moments(stream)
    };
    let sql = "SELECT a FROM t WHERE b = 'secret'; DELETE FROM u";
    let answer = [rows(2), complete("SELECT 2"), complete("DELETE 3"), ready()].concat();
    let asks = "SELECT t; DELETE u | SELECT a FROM t WHERE b = ?; DELETE FROM u";
    let moments = ask(1, sql, answer, asks, ", 5 rows");
    assert_eq!(moments, [Some(30), Some(35), Some(39), Some(45), Some(45)]);
    ask(2, "BEGIN", [complete("BEGIN"), ready()].concat(), "BEGIN | BEGIN", "");
    ask(3, "", [done(b'I'), ready()].concat(), "QUERY | ", "");
    ask(4, "SELEKT 1", [failed("42601"), ready()].concat(), "QUERY | SELEKT ?", ", error 42601");
}

#[test]
fn to_prepare_is_a_round_trip_of_its_own() {
    let mut spoken = open();
    let prepare = [parse("s0", "SELECT a FROM t WHERE b = $1"), describe("Ss0"), sync()].concat();
    let prepared = [done(b'1'), message(b't', "\0\0"), rows(0), ready()].concat();
    let asks = "SELECT t | SELECT a FROM t WHERE b = $1";
    spoken.client(&prepare).server(&prepared);
    spoken.tells(&told(1, &format!("PREPARE {asks}"), &prepare, &prepared, ""));
    for stream in 2..4 {
        let ask = [bind("", "s0"), execute(""), sync()].concat();
        let answer = [done(b'2'), row(), complete("SELECT 1"), ready()].concat();
        spoken.client(&ask).server(&answer).tells(&told(stream, asks, &ask, &answer, ", 1 rows"));
    }
    // Nobody waits until it is closed, and a pool that tests the connection asks for nothing.
    spoken.client([close("Ss0"), sync()].concat()).server([done(b'3'), ready()].concat());
    spoken.client(sync()).server(ready());
    let (ask, answer) = (query("BEGIN"), [complete("BEGIN"), ready()].concat());
    spoken.client(&ask).server(&answer).tells(&told(4, "BEGIN | BEGIN", &ask, &answer, ""));
}

#[test]
fn what_was_prepared_before_is_not_known() {
    let mut spoken = Spoken::joined_to(5432);
    let ask = [bind("", "s7"), execute("")].concat();
    let answer = [done(b'2'), row(), row(), complete("SELECT 2")].concat();
    // What closes the portal behind it belongs to it no more.
    spoken.client([&ask[..], &close("P"), &sync()].concat()).server([&answer[..], &done(b'3'), &ready()].concat());
    spoken.tells(&told(1, "EXECUTE", &ask, &answer, ", 2 rows"));
}

#[test]
fn queries_may_be_sent_ahead() {
    let mut spoken = open();
    let ask = |sql| [parse("", sql), bind("", ""), describe("P"), execute(""), sync()].concat();
    spoken.client([ask("SELECT * FROM a"), ask("SELECT * FROM b")].concat()).client(ask("SELECT * FROM c"));
    spoken.told.lines.clear();
    let answer = [done(b'1'), done(b'2'), rows(1), complete("SELECT 1"), ready()].concat();
    let fails = [done(b'1'), failed("22012"), ready()].concat();
    spoken.server([&answer[..], &fails].concat()).server(&answer);
    let one = ended(1, &answer, ", 1 rows");
    spoken.tells(&[one, ended(2, &fails, ", error 22012"), ended(3, &answer, ", 1 rows")].concat());
    assert_eq!(spoken.moments(2), [Some(30), Some(35), Some(49), Some(55), Some(55)]);
    assert_eq!(spoken.moments(3), [Some(40), Some(45), Some(59), Some(65), Some(65)]);
}

#[test]
fn an_error_ends_all_that_is_sent_with_it() {
    let mut spoken = open();
    let ask = |sql| [parse("", sql), bind("", ""), execute("")].concat();
    let asks = [ask("INSERT INTO a VALUES ('secret')"), ask("DELETE FROM b"), [ask("DELETE FROM c"), sync()].concat()];
    spoken.client(asks.concat());
    spoken.tells(
        &[
            asked(1, "INSERT a | INSERT INTO a VALUES (?)", &asks[0]),
            asked(2, "DELETE b | DELETE FROM b", &asks[1]),
            asked(3, "DELETE c | DELETE FROM c", &asks[2]),
        ]
        .concat(),
    );
    let first = [done(b'1'), done(b'2'), complete("INSERT 0 1")].concat();
    let second = [done(b'1'), failed("23505")].concat();
    spoken.server([&first[..], &second, &ready()].concat());
    let skipped = ended(3, &ready(), ", error 23505");
    spoken.tells(&[ended(1, &first, ", 1 rows"), ended(2, &second, ", error 23505"), skipped].concat());
    // The next group is answered again.
    let (ask, answer) =
        ([ask("DELETE FROM d"), sync()].concat(), [done(b'1'), done(b'2'), complete("DELETE 7"), ready()].concat());
    spoken.client(&ask).server(&answer).tells(&told(4, "DELETE d | DELETE FROM d", &ask, &answer, ", 7 rows"));
}

#[test]
fn a_client_may_ask_for_answers_before_it_synchronises() {
    let mut spoken = open();
    let asks = "SELECT t | SELECT a FROM t";
    let (prepare, prepared) = (
        [parse("x", "SELECT a FROM t"), describe("Sx")].concat(),
        [done(b'1'), message(b't', "\0\0"), done(b'n')].concat(),
    );
    spoken.client([&prepare[..], &flush()].concat()).server(&prepared);
    spoken.tells(&told(1, &format!("PREPARE {asks}"), &prepare, &prepared, ""));
    let (ask, answer) = ([bind("p", "x"), execute("p")].concat(), [done(b'2'), row(), done(b's')].concat());
    spoken.client([&ask[..], &flush()].concat()).server(&answer).tells(&told(2, asks, &ask, &answer, ", 1 rows"));
    let (more, rest) = ([execute("p"), sync()].concat(), [row(), row(), complete("SELECT 2"), ready()].concat());
    spoken.client(&more).server(&rest).tells(&told(3, asks, &more, &rest, ", 2 rows"));
    // An error comes at once, and the end of the group later.
    spoken.client([&ask[..], &flush()].concat()).server(failed("22012")).client(sync()).server(ready());
    spoken.tells(&told(4, asks, &ask, &failed("22012"), ", error 22012"));
}

#[test]
fn rows_may_be_copied_either_way() {
    let mut spoken = open();
    let data = [message(b'd', "1\tsecret\n"), message(b'd', "2\tsecret\n")].concat();
    let (ask, end) = (query("COPY t FROM STDIN"), message(b'c', ""));
    let answer = [complete("COPY 2"), ready()].concat();
    let take = message(b'G', "\0\0\0");
    spoken.client(&ask).server(&take).client(&data).client(&end).server(&answer);
    let sent = [&ask[..], &data, &end].concat();
    let answered = [&take[..], &answer].concat();
    spoken.tells(&told(1, "COPY t | COPY t FROM STDIN", &sent, &answered, ", 2 rows"));
    assert_eq!(spoken.moments(1), [Some(30), Some(65), Some(69), Some(75), Some(75)]);
    // In the extended protocol the client synchronises before the rows, in vain, and behind them.
    let ask = [parse("", "COPY t FROM STDIN"), bind("", ""), execute(""), sync()].concat();
    let (end, take) = ([message(b'c', ""), sync()].concat(), [done(b'1'), done(b'2'), take].concat());
    spoken.client(&ask).server(&take).client(&data).client(&end).server(&answer);
    let (sent, answered) = ([&ask[..], &data, &end].concat(), [&take[..], &answer].concat());
    spoken.tells(&told(2, "COPY t | COPY t FROM STDIN", &sent, &answered, ", 2 rows"));
    spoken.client(query("COPY t FROM STDIN")).server(message(b'G', "\0\0\0")).client(message(b'f', "secret\0"));
    spoken.server([failed("57014"), ready()].concat());
    let last = spoken.told.lines.pop().expect("an end");
    assert!(last.starts_with("3: ended") && last.ends_with(", error 57014"), "{last}");
    spoken.told.lines.clear();
    let (ask, answer) =
        (query("COPY t TO STDOUT"), [message(b'H', "\0\0\0"), data, done(b'c'), complete("COPY 2"), ready()].concat());
    spoken.client(&ask).server(&answer).tells(&told(4, "COPY t | COPY t TO STDOUT", &ask, &answer, ", 2 rows"));
}

#[test]
fn what_the_server_says_by_itself_is_left_alone() {
    let mut spoken = open();
    let by_itself = [message(b'A', "\0\0\0\x07news\0secret\0"), message(b'N', "SNOTICE\0\0"), message(b'S', "a\0b\0")];
    spoken.server(by_itself.concat());
    let (ask, answer) = (query("LISTEN news"), [complete("LISTEN"), ready()].concat());
    spoken.client(&ask).server([by_itself.concat(), answer.clone()].concat());
    spoken.tells(&told(1, "LISTEN news | LISTEN news", &ask, &answer, ""));
}

#[test]
fn a_server_that_shuts_down_says_why() {
    let mut spoken = open();
    let (ask, answer) = (query("SELECT pg_sleep(9)"), failed("57P01"));
    spoken.client(&ask).server(&answer).stop();
    spoken.tells(&told(1, "SELECT | SELECT pg_sleep(?)", &ask, &answer, ", error 57P01"));
}
