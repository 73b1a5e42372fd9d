//! Bytes that were not captured, or moved unseen.

use super::*;

/// What is captured of a large answer: its beginning and its last eight bytes.
fn cut(spoken: &mut Spoken, bytes: &[u8], captured: usize) {
    spoken.call_with_holes(Response, bytes, &[(0, captured)], true);
}

#[test]
fn of_rows_and_parameters_the_heads_suffice() {
    let mut spoken = open();
    let long = message(b'B', [b"\0\0\0\0\0\x01".as_slice(), &[b'x'; 5000]].concat());
    let ask = [parse("", "INSERT INTO t VALUES ($1)"), long, execute(""), sync()].concat();
    let head = parse("", "INSERT INTO t VALUES ($1)").len() + 100;
    spoken.call_with_holes(Request, &ask, &[(0, head), (ask.len() - 15, ask.len())], false);
    let row = message(b'D', [b"\0\x01\0\0\x13\x88".as_slice(), &[b'x'; 5000]].concat());
    let answer = [done(b'1'), done(b'2'), row, complete("INSERT 0 1"), ready()].concat();
    let hole = answer.len() - 16 - 6;
    spoken.call_with_holes(Response, &answer, &[(0, 100), (hole, answer.len())], false);
    let sent = format!("1: sent, {} bytes", ask.len());
    let ended = format!("1: ended, {} bytes, 1 rows", answer.len());
    spoken.tells(&["1: postgresql INSERT t | INSERT INTO t VALUES ($1)", &sent, "1: answer", &ended]);
}

#[test]
fn a_statement_ends_where_it_was_not_captured() {
    let mut spoken = open();
    let ask = query(&format!("SELECT * FROM t WHERE a = '{}' AND b = 'secret'", "x".repeat(1000)));
    spoken.call_with_holes(Request, &ask, &[(0, 40), (ask.len() - 10, ask.len())], false);
    let line = "1: postgresql SELECT t | SELECT * FROM t WHERE a = ?";
    spoken.tells(&[line, &format!("1: sent, {} bytes", ask.len())]);
}

#[test]
fn a_single_query_ends_where_the_server_is_ready() {
    let mut spoken = open();
    let answer = [rows(500), complete("SELECT 500"), ready()].concat();
    spoken.client(query("SELECT a FROM t"));
    cut(&mut spoken, &answer[..3000], 600);
    cut(&mut spoken, &answer[3000..], 256);
    let ended = format!("1: ended, {} bytes", answer.len());
    spoken.tells(&["1: postgresql SELECT t | SELECT a FROM t", "1: sent, 21 bytes", "1: answer", &ended]);
    assert_eq!(spoken.moments(1)[4], Some(55));
    // A command's tag says how many rows there were, also if most of them were not captured.
    spoken.client(query("SELECT a FROM t")).told.lines.clear();
    spoken.call_with_holes(Response, &answer[..3000], &[(0, 600)], false);
    spoken.gap(Response, answer.len() as u32 - 3000 - 22);
    spoken.call(Response, &answer[answer.len() - 22..]);
    spoken.tells(&["2: answer", &format!("2: ended, {} bytes, 500 rows", answer.len())]);
}

#[test]
fn rows_are_not_taken_for_messages() {
    let mut spoken = open();
    let answer = [rows(500), complete("SELECT 500"), ready()].concat();
    spoken.client(query("SELECT a FROM t"));
    cut(&mut spoken, &answer[..3000], 600);
    // Calls begin with a text, and with a number that has the head of a message, in the midst of rows.
    let text = [b"C 1234567890".as_slice(), &[b'x'; 500]].concat();
    let number = [b"D\0\0\x40\0\0\x01".as_slice(), &[b'x'; 500]].concat();
    for rows in [text, number] {
        cut(&mut spoken, &rows, 256);
    }
    cut(&mut spoken, &answer[3000..], 256);
    let line = spoken.told.lines.last().map(|line| line.starts_with("1: ended"));
    assert_eq!((line, spoken.moments(1)[4]), (Some(true), Some(75)));
    spoken.client(query("SELECT 2")).server([complete("SELECT 1"), ready()].concat());
    assert_eq!(spoken.outcomes().last().map(|last| &**last), Some("SELECT, 1 rows"));
}

#[test]
fn a_connection_begins_once() {
    let mut spoken = Spoken::joined_to(5432);
    let asked = query("SELECT 1");
    let long = [asked.clone(), vec![b'x'; 100]].concat();
    spoken.call_with_holes(Request, &long, &[(0, asked.len())], false);
    spoken.call_with_holes(Response, &[ready(), vec![b'x'; 100]].concat(), &[(0, 6)], false);
    spoken.client(startup()).client(asked);
    let asked: Vec<_> = spoken.told.lines.iter().filter(|line| line.contains("postgresql")).collect();
    assert_eq!(asked, ["1: postgresql SELECT | SELECT ?", "2: postgresql SELECT | SELECT ?"]);
}

#[test]
fn which_of_several_queries_has_ended_is_not_known() {
    let mut spoken = open();
    let answer = [rows(500), complete("SELECT 500"), ready()].concat();
    spoken.client(query("SELECT 1")).client(query("SELECT 2")).told.lines.clear();
    cut(&mut spoken, &[answer.clone(), answer].concat(), 100);
    spoken.tells(&["1: answer", "1: unseen", "2: unseen"]);
    spoken.client(query("SELECT 3")).server([complete("SELECT 1"), ready()].concat());
    spoken.tells(&["3: postgresql SELECT | SELECT ?", "3: sent, 14 bytes", "3: answer", "3: ended, 20 bytes, 1 rows"]);
}

#[test]
fn the_next_query_ends_an_answer_that_went_by_unseen() {
    let mut spoken = open();
    spoken.client(query("SELECT 1")).gap(Response, 1000);
    spoken.client(query("SELECT 2")).server([complete("SELECT 1"), ready()].concat());
    let expected = [
        "1: unseen",
        "2: postgresql SELECT | SELECT ?",
        "2: sent, 14 bytes",
        "2: answer",
        "2: ended, 20 bytes, 1 rows",
    ];
    assert_eq!(spoken.told.lines[2..], expected);
}

#[test]
fn queries_that_were_not_captured_are_counted_once_and_their_answers_passed_over() {
    let mut spoken = open();
    let several = [query("SELECT 1"), query("SELECT 2"), query("SELECT 3")].concat();
    spoken.call_with_holes(Request, &several, &[(0, 14)], false);
    let answer = [complete("SELECT 1"), ready()].concat();
    spoken.server(answer.repeat(3));
    let first = "1: postgresql SELECT | SELECT ?";
    spoken.tells(&[first, "1: sent, 14 bytes", "unread", "1: answer", "1: ended, 20 bytes, 1 rows"]);
    spoken.client(query("SELECT 4")).server(&answer);
    spoken.tells(&["2: postgresql SELECT | SELECT ?", "2: sent, 14 bytes", "2: answer", "2: ended, 20 bytes, 1 rows"]);
}

#[test]
fn an_answer_that_belongs_to_another_query_shows_that_the_pairs_are_lost() {
    let mut spoken = open();
    spoken.client(query("SELECT 1")).server([done(b'1'), ready()].concat()).told.lines.drain(..2);
    spoken.tells(&["1: unseen"]);
    spoken.client(query("SELECT 2")).server([complete("SELECT 1"), ready()].concat());
    spoken.tells(&["2: postgresql SELECT | SELECT ?", "2: sent, 14 bytes", "2: answer", "2: ended, 20 bytes, 1 rows"]);
}
