//! Connections of hand-made and of recorded packets: what is reported, and when.

mod losses;
mod recorded;
mod splits;

use super::*;
use crate::protocol::spoken::Spoken;
use crate::transport::segment::Direction::{Request, Response};

/// What both ends can do unless a test says otherwise: `CLIENT_PROTOCOL_41`, `CLIENT_SSL`.
const PLAIN: u32 = 1 << 9 | 1 << 11;
const DEPRECATE_EOF: u32 = 1 << 24;
const COMPRESS: u32 = 1 << 5;

/// A packet.
fn packet(sequence: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let [l0, l1, l2, _] = (payload.len() as u32).to_le_bytes();
    [&[l0, l1, l2, sequence][..], payload].concat()
}

/// The packets of an answer to a command of one packet.
fn answer(payloads: &[&[u8]]) -> Vec<u8> {
    answer_from(1, payloads)
}

fn answer_from(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let numbered = payloads.iter().enumerate();
    numbered.flat_map(|(number, payload)| packet(first.wrapping_add(number as u8), payload)).collect()
}

fn greeting(flags: u32) -> Vec<u8> {
    let (low, high) = (flags as u16, (flags >> 16) as u16);
    let challenge = b"\x07\0\0\0secretch\0";
    let rest = b"\x15\0\0\0\0\0\0\0\0\0\0secretchallen\0mysql_native_password\0";
    let status = b"\x2d\x02\0";
    packet(0, [b"\x0a8.0.36\0", &challenge[..], &low.to_le_bytes(), status, &high.to_le_bytes(), rest].concat())
}

fn tls_request() -> Vec<u8> {
    packet(1, [&PLAIN.to_le_bytes()[..], &[0; 28]].concat())
}

fn login(sequence: u8, flags: u32) -> Vec<u8> {
    packet(sequence, [&flags.to_le_bytes()[..], &[0; 28], b"alice\0\x14secretsecretsecret-ab\0shop\0"].concat())
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
/// What ends rows where `CLIENT_DEPRECATE_EOF` is agreed on.
const ROWS_END: &[u8] = b"\xfe\0\0\x02\0\0\0";
const COLUMN: &[u8] = b"\x03def\0\0\0\x06secret\0\x0c\x3f\0\x0b\0\0\0\x03\x01\0\0\0\0";
const ROW: &[u8] = b"\x07secret!\xfb";

/// Such an `OK_Packet`.
fn ok(affected: u8, status: u8) -> Vec<u8> {
    vec![0, affected, 0, status, 0, 0, 0]
}

fn error(number: u16, state: &str) -> Vec<u8> {
    [&[0xff][..], &number.to_le_bytes(), b"#", state.as_bytes(), b"the secret does not exist"].concat()
}

/// A command of one packet.
fn command(code: u8, arguments: impl AsRef<[u8]>) -> Vec<u8> {
    packet(0, [&[code][..], arguments.as_ref()].concat())
}

fn query(sql: &str) -> Vec<u8> {
    command(3, sql)
}

fn prepare(sql: &str) -> Vec<u8> {
    command(0x16, sql)
}

fn execute(number: u32) -> Vec<u8> {
    let parameters = b"\x01\0\0\0\0\x01\xfd\0\x06secret";
    command(0x17, [&number.to_le_bytes()[..], b"\0", parameters].concat())
}

fn close(number: u32) -> Vec<u8> {
    command(0x19, number.to_le_bytes())
}

/// A result of one column with so many rows.
fn rows(number: usize) -> Vec<u8> {
    answer(&[&[b"\x01", COLUMN, EOF][..], &vec![ROW; number], &[EOF]].concat())
}

/// What a statement is called from here on: one with so many columns and parameters.
fn prepared(number: u32, columns: u16, parameters: u16) -> Vec<u8> {
    let head =
        [&[0][..], &number.to_le_bytes(), &columns.to_le_bytes(), &parameters.to_le_bytes(), &[0, 0, 0]].concat();
    let mut payloads = vec![&head[..]];
    for count in [parameters, columns].into_iter().filter(|count| *count > 0) {
        payloads.extend(vec![COLUMN; count.into()]);
        payloads.push(EOF);
    }
    answer(&payloads)
}

/// What is told of a command: what it asks for, what was sent, what was answered, and how it ended.
fn told(stream: u64, asks: &str, sent: &[u8], answered: &[u8], end: &str) -> Vec<String> {
    let mut lines = asked(stream, asks, sent);
    lines.extend(ended(stream, answered, end));
    lines
}

fn asked(stream: u64, asks: &str, sent: &[u8]) -> Vec<String> {
    vec![format!("{stream}: mysql {asks}"), format!("{stream}: sent, {} bytes", sent.len())]
}

fn ended(stream: u64, answered: &[u8], end: &str) -> Vec<String> {
    vec![format!("{stream}: answer"), format!("{stream}: ended, {} bytes{end}", answered.len())]
}

/// A client is logged in that has agreed on these besides.
fn open_with(flags: u32) -> Spoken {
    let mut spoken = Spoken::to(3306);
    spoken.server(greeting(PLAIN | flags)).client(login(1, PLAIN | flags)).server(packet(2, OK)).tells(&["ready"]);
    spoken
}

fn open() -> Spoken {
    open_with(0)
}

#[test]
fn a_login_ends_when_the_server_is_content() {
    for step in [1, 3, 5, 1000] {
        let mut spoken = Spoken::to(4000);
        for piece in greeting(PLAIN).chunks(step) {
            spoken.server(piece);
        }
        spoken.client(tls_request()).client(login(2, PLAIN)).server(packet(3, b"\xfemysql_native_password\0secret\0"));
        spoken.client(packet(4, "secret")).is_silent().server(packet(5, OK)).tells(&["ready"]);
        assert!(!format!("{:?}", spoken.detector).contains("secret"));
        let (ask, answer) = (query("BEGIN"), answer(&[OK]));
        spoken.client(&ask).server(&answer).tells(&told(1, "BEGIN | BEGIN", &ask, &answer, ""));
    }
}

#[test]
fn a_login_that_fails_is_a_call() {
    let failed = packet(2, error(1045, "28000"));
    let mut spoken = Spoken::to(3306);
    spoken.server(greeting(PLAIN)).client(login(1, PLAIN)).server(&failed);
    let ended = format!("1: ended, {} bytes, error 1045 (28000)", failed.len());
    spoken.tells(&["1: mysql CONNECT", "1: sent, 0 bytes", "1: answer", &ended]);
    assert_eq!(spoken.moments(1), [Some(20), Some(25), Some(29), Some(35), Some(35)]);
    // Before it greets.
    for step in [1, 1000] {
        let mut refused = Spoken::to(3306);
        for piece in packet(0, b"\xff\x10\x04Too many connections").chunks(step) {
            refused.server(piece);
        }
        assert_eq!(refused.outcomes(), ["CONNECT, error 1040"]);
        assert_eq!(refused.moments(1)[0], Some(15));
    }
}

#[test]
fn what_is_not_read_is_turns() {
    let mut spoken = Spoken::to(3306);
    spoken.server(greeting(PLAIN | COMPRESS)).client(login(1, PLAIN | COMPRESS)).server(packet(2, OK));
    spoken.tells(&["ready"]);
    spoken.client(b"\x0d\0\0\0\0\0\0").client("compressed").server("answer").stop();
    spoken.tells(&["1: tcp ", "1: sent, 17 bytes", "1: answer", "1: ended, 6 bytes"]);
    // What only one end can do is not agreed on.
    let mut plain = Spoken::to(3306);
    plain.server(greeting(PLAIN | COMPRESS)).client(login(1, PLAIN)).server(packet(2, OK)).tells(&["ready"]);
    // A replica.
    open().client(command(0x12, "\x04\0\0\0\0\0\x01\0\0\0")).tells(&["given up: Unreadable"]);
}

#[test]
fn a_statement_says_what_it_has_done() {
    let mut spoken = open();
    let mut stream = 0;
    let mut ask = |sql: &str, answer: Vec<u8>, asks: &str, end: &str| {
        stream += 1;
        let ask = query(sql);
        spoken.client(&ask).server(&answer).tells(&told(stream, asks, &ask, &answer, end));
        spoken.moments(stream)
    };
    let sql = "SELECT a FROM `t` WHERE b = \"secret\"";
    let moments = ask(sql, rows(2), "SELECT t | SELECT a FROM `t` WHERE b = ?", ", 2 rows");
    assert_eq!(moments, [Some(40), Some(45), Some(49), Some(55), Some(55)]);
    ask("SELECT a FROM t", rows(0), "SELECT t | SELECT a FROM t", ", 0 rows");
    let update = "UPDATE t | UPDATE t SET a = ?";
    ask("UPDATE t SET a = 1", answer(&[&ok(3, 2)]), update, ", 3 rows");
    ask("UPDATE t SET a = 2", answer(&[&ok(0, 2)]), update, ", 0 rows");
    ask("BEGIN", answer(&[OK]), "BEGIN | BEGIN", "");
    let missing = answer(&[&error(1146, "42S02")]);
    ask("SELECT 1 FROM x", missing, "SELECT x | SELECT ? FROM x", ", error 1146 (42S02)");
    // An error in the midst of rows.
    let late = answer(&[b"\x01", COLUMN, EOF, ROW, &error(1317, "70100")]);
    ask("SELECT a FROM t", late, "SELECT t | SELECT a FROM t", ", 1 rows, error 1317 (70100)");
    // Several statements, and the results of a procedure.
    let more = b"\xfe\0\0\x0a\0";
    let several = answer(&[&ok(1, 10), b"\x01", COLUMN, EOF, ROW, ROW, more, b"\x01", COLUMN, EOF, ROW, EOF]);
    let asks = "DELETE u; CALL p | DELETE FROM u; CALL p(?)";
    ask("DELETE FROM u; CALL p('secret')", several, asks, ", 4 rows");
}

#[test]
fn rows_may_end_with_an_ok_packet() {
    let mut spoken = open_with(DEPRECATE_EOF);
    let (ask, answer) = (query("SELECT a FROM t"), answer(&[b"\x01", COLUMN, ROW, ROW, ROWS_END]));
    spoken.client(&ask).server(&answer).tells(&told(1, "SELECT t | SELECT a FROM t", &ask, &answer, ", 2 rows"));
    let head = b"\0\x01\0\0\0\x01\0\x01\0\0\0\0";
    let (ask, answer) = (prepare("SELECT a FROM t WHERE b = ?"), answer_from(1, &[head, COLUMN, COLUMN]));
    spoken.client(&ask).server(&answer);
    let asks = "SELECT t | SELECT a FROM t WHERE b = ?";
    spoken.tells(&told(2, &format!("PREPARE {asks}"), &ask, &answer, ""));
    let (ask, answer) = (execute(1), answer_from(1, &[b"\x01", COLUMN, b"\0\0\x06secret", ROWS_END]));
    spoken.client(&ask).server(&answer).tells(&told(3, asks, &ask, &answer, ", 1 rows"));
}

#[test]
fn a_statement_is_known_by_its_number() {
    let mut spoken = open();
    let asks = "INSERT t | INSERT INTO t VALUES (?, ?)";
    let (ask, number) = (prepare("INSERT INTO t VALUES (?, 'secret')"), prepared(7, 0, 1));
    spoken.client(&ask).server(&number).tells(&told(1, &format!("PREPARE {asks}"), &ask, &number, ""));
    let (ask, one) = (execute(7), answer(&[&ok(1, 2)]));
    spoken.client(&ask).server(&one).tells(&told(2, asks, &ask, &one, ", 1 rows"));
    // A part of a parameter has no answer, nor has the end of the statement.
    spoken.client([command(0x18, b"\x07\0\0\0\0\0secret"), execute(7)].concat()).server(&one);
    spoken.tells(&told(3, asks, &execute(7), &one, ", 1 rows"));
    spoken.client(close(7)).client(execute(7)).server(answer(&[&error(1243, "HY000")]));
    assert_eq!(spoken.outcomes().last().map(|last| &**last), Some("EXECUTE, error 1243 (HY000)"));
    spoken.told.lines.clear();
    let (ask, answer) = (prepare("SELEKT 'secret'"), answer(&[&error(1064, "42000")]));
    let asks = "PREPARE QUERY | SELEKT ?";
    spoken.client(&ask).server(&answer).tells(&told(5, asks, &ask, &answer, ", error 1064 (42000)"));
    // MariaDB's number of the statement that was prepared last, and of executions for many rows.
    spoken.client(prepare("DELETE FROM u WHERE a = ?")).server(prepared(8, 0, 1)).told.lines.clear();
    let bulk = command(0xfa, [&u32::MAX.to_le_bytes()[..], b"\x80\0secret"].concat());
    spoken.client(&bulk).server(&one).tells(&told(7, "DELETE u | DELETE FROM u WHERE a = ?", &bulk, &one, ", 1 rows"));
}

#[test]
fn rows_may_stay_with_the_server() {
    let mut spoken = open();
    spoken.client(prepare("SELECT a FROM t")).server(prepared(1, 1, 0)).told.lines.clear();
    let (ask, opened) = (execute(1), answer(&[b"\x01", COLUMN, b"\xfe\0\0\x42\0"]));
    spoken.client(&ask).server(&opened).tells(&told(2, "SELECT t | SELECT a FROM t", &ask, &opened, ""));
    let (ask, some) =
        (command(0x1c, b"\x01\0\0\0\x02\0\0\0"), answer(&[b"\0\0\x06secret", b"\0\0\x06secret", b"\xfe\0\0\x42\0"]));
    spoken.client(&ask).server(&some).tells(&told(3, "FETCH SELECT t | SELECT a FROM t", &ask, &some, ", 2 rows"));
}

#[test]
fn a_pool_may_test_and_clean_a_connection() {
    let mut spoken = open();
    spoken.client(prepare("SELECT a FROM t")).server(prepared(1, 1, 0)).told.lines.clear();
    spoken.client(command(0x0e, "")).server(answer(&[OK])).client(command(0x1f, "")).server(answer(&[OK]));
    spoken.is_silent().client(execute(1)).server(answer(&[&error(1243, "HY000")]));
    assert_eq!(spoken.outcomes(), ["EXECUTE, error 1243 (HY000)"]);
    spoken.told.lines.clear();
    let (ask, answer) = (command(2, "shop"), answer(&[OK]));
    spoken.client(&ask).server(&answer).tells(&told(3, "USE | USE shop", &ask, &answer, ""));
    spoken.client(command(1, "")).stop().is_silent();
}

#[test]
fn another_user_may_log_in() {
    let mut spoken = open();
    let ask = command(0x11, "bob\0\x14secretsecretsecret-ab\0shop\0");
    let more = packet(3, "secret");
    spoken.client(&ask).server(answer(&[b"\xfemysql_native_password\0secret\0"])).client(&more).server(packet(4, OK));
    let sent = [ask, more].concat();
    let answered = vec![0; 4 + 30 + 4 + OK.len()];
    spoken.tells(&told(1, "CHANGE USER", &sent, &answered, ""));
    assert_eq!(spoken.moments(1), [Some(40), Some(65), Some(69), Some(75), Some(75)]);
}

#[test]
fn a_server_may_ask_for_a_file() {
    let mut spoken = open();
    let ask = query("LOAD DATA LOCAL INFILE 'secret' INTO TABLE t");
    let (file, end) = (packet(2, "1\tsecret\n"), packet(3, ""));
    spoken.client(&ask).server(answer(&[b"\xfbsecret"])).client(&file).client(&end).server(packet(4, ok(1, 2)));
    let sent = [ask, file, end].concat();
    let answered = vec![0; 4 + 7 + 4 + 7];
    let asks = "LOAD | LOAD DATA LOCAL INFILE ? INTO TABLE t";
    spoken.tells(&told(1, asks, &sent, &answered, ", 1 rows"));
    assert_eq!(spoken.moments(1), [Some(40), Some(75), Some(79), Some(85), Some(85)]);
}

#[test]
fn a_long_command_has_several_packets() {
    let mut spoken = open();
    let start = b"\x03INSERT INTO t VALUES ('secret";
    let first = [&b"\xff\xff\xff\0"[..], start, &vec![b'x'; 0xff_ffff - start.len()]].concat();
    let second = packet(1, b"secret')");
    spoken.call_with_holes(Request, &first, &[(0, 100)], false);
    spoken.client(&second).server(answer_from(2, &[&ok(1, 2)]));
    let sent = vec![0; first.len() + second.len()];
    spoken.tells(&told(1, "INSERT t | INSERT INTO t VALUES (?", &sent, &packet(2, ok(1, 2)), ", 1 rows"));
    // A row of two packets.
    let long = [&b"\xff\xff\xff\x04"[..], b"\xfd", &vec![b'x'; 0xff_fffe]].concat();
    let (head, tail) = (answer(&[b"\x01", COLUMN, EOF]), answer_from(5, &[b"\xfe secret", ROW, EOF]));
    spoken.client(query("SELECT a FROM t")).server(&head);
    spoken.call_with_holes(Response, &long, &[(0, 100)], false);
    spoken.server(&tail).told.lines.drain(..3);
    spoken.tells(&[format!("2: ended, {} bytes, 2 rows", head.len() + long.len() + tail.len())]);
}

#[test]
fn attributes_may_stand_before_a_statement() {
    let mut spoken = open();
    let (ask, answer) = (command(3, "\0\x01SELECT a FROM t"), rows(1));
    spoken.client(&ask).server(&answer).tells(&told(1, "SELECT t | SELECT a FROM t", &ask, &answer, ", 1 rows"));
    let ask = command(3, "\x01\x01\0\x01\x0f\0\x01n\x06secretSELECT a FROM t");
    spoken.client(&ask).server(&answer).tells(&told(2, "QUERY", &ask, &answer, ", 1 rows"));
}

#[test]
fn whether_a_backslash_escapes_is_the_servers_to_say() {
    let text = |status: &[u8; 2]| {
        let mut spoken = open();
        let ok = [b"\0\0\0", &status[..], b"\0\0"].concat();
        spoken.client(query("SET sql_mode = ''")).server(answer(&[&ok])).told.lines.clear();
        spoken.client(query(r"SELECT 'a\'', b, 'secret' FROM t"));
        spoken.told.lines[0].clone()
    };
    assert_eq!(text(&[2, 0]), "2: mysql SELECT t | SELECT ?, b, ? FROM t");
    // There the first string ends at the fourth quote.
    assert_eq!(text(&[2, 2]), "2: mysql SELECT | SELECT ??");
}

#[test]
fn what_a_server_says_by_itself_is_left_alone() {
    let mut spoken = open();
    spoken.server(packet(0, error(4031, "HY000"))).stop().is_silent();
    // How far a long command is.
    let (ask, answer) = (query("ALTER TABLE t ADD a INT"), answer(&[b"\xff\xff\xff\x01\x01\x03\0\0\0\x05table", OK]));
    open().client(&ask).server(&answer).tells(&told(1, "ALTER TABLE t | ALTER TABLE t ADD a INT", &ask, &answer, ""));
}

#[test]
fn commands_may_be_sent_ahead() {
    let mut spoken = open();
    let asks = [query("SELECT a FROM t"), query("SELECT b FROM u")];
    spoken.client(asks.concat()).told.lines.clear();
    spoken.server([rows(1), rows(2)].concat());
    spoken.tells(&[ended(1, &rows(1), ", 1 rows"), ended(2, &rows(2), ", 2 rows")].concat());
}
