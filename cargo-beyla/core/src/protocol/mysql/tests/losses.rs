//! Bytes that were not captured, or moved unseen.

use super::*;

/// What is captured of a large answer: its beginning and its last eight bytes.
fn cut(spoken: &mut Spoken, bytes: &[u8], captured: usize) {
    spoken.call_with_holes(Response, bytes, &[(0, captured)], true);
}

#[test]
fn of_rows_and_parameters_the_heads_suffice() {
    let mut spoken = open();
    spoken.client(prepare("INSERT INTO t VALUES (?)")).server(prepared(1, 0, 1)).told.lines.clear();
    let ask = command(0x17, [&b"\x01\0\0\0\0\x01\0\0\0"[..], &[b'x'; 5000]].concat());
    spoken.call_with_holes(Request, &ask, &[(0, 100)], false);
    spoken.server(answer(&[&ok(1, 2)]));
    let asks = "INSERT t | INSERT INTO t VALUES (?)";
    spoken.tells(&told(2, asks, &ask, &answer(&[&ok(1, 2)]), ", 1 rows"));
    let long = [&[0xfc, 0x88, 0x13][..], &[b'x'; 5000]].concat();
    let answer = answer(&[b"\x01", COLUMN, EOF, &long, EOF]);
    let end = answer.len() - 9;
    spoken.client(query("SELECT a FROM t"));
    spoken.call_with_holes(Response, &answer, &[(0, 100), (end, answer.len())], false);
    spoken.told.lines.drain(..3);
    spoken.tells(&[format!("3: ended, {} bytes, 1 rows", answer.len())]);
}

#[test]
fn a_result_ends_where_a_call_ends_so() {
    for (flags, end) in [(0, EOF), (DEPRECATE_EOF, ROWS_END)] {
        let mut spoken = open_with(flags);
        let head = if flags == 0 { vec![&b"\x01"[..], COLUMN, EOF] } else { vec![&b"\x01"[..], COLUMN] };
        let answer = answer(&[&head[..], &[ROW; 500], &[end]].concat());
        spoken.client(query("SELECT a FROM t"));
        cut(&mut spoken, &answer[..3000], 600);
        cut(&mut spoken, &answer[3000..], 256);
        let ended = format!("1: ended, {} bytes", answer.len());
        spoken.tells(&["1: mysql SELECT t | SELECT a FROM t", "1: sent, 20 bytes", "1: answer", &ended]);
        assert_eq!(spoken.moments(1)[4], Some(65));
        // The next one is read as ever.
        spoken.client(query("BEGIN")).server(packet(1, OK));
        assert_eq!(spoken.outcomes().last().map(|last| &**last), Some("BEGIN"));
    }
}

#[test]
fn the_next_command_ends_an_answer() {
    let mut spoken = open();
    let answer = rows(500);
    spoken.client(query("SELECT a FROM t"));
    cut(&mut spoken, &answer[..3000], 600);
    spoken.call_with_holes(Response, &answer[3000..], &[(0, 256)], false);
    spoken.told.lines.clear();
    spoken.client(query("BEGIN")).server(packet(1, OK));
    let ended = format!("1: ended, {} bytes", answer.len());
    let (ask, done) = (query("BEGIN"), packet(1, OK));
    spoken.tells(&[&[ended][..], &told(2, "BEGIN | BEGIN", &ask, &done, "")].concat());
    assert_eq!(spoken.moments(1)[4], Some(65));
    // If nobody knows when its bytes moved, nobody knows when it ended.
    spoken.client(query("SELECT a FROM t")).told.lines.clear();
    spoken.gap(Response, 1000);
    spoken.client(query("BEGIN")).server(packet(1, OK));
    spoken.tells(&[&["3: unseen".to_owned()][..], &told(4, "BEGIN | BEGIN", &ask, &done, "")].concat());
}

#[test]
fn a_statement_ends_where_it_was_not_captured() {
    let mut spoken = open();
    let ask = query(&format!("SELECT * FROM t WHERE a = '{}' AND b = 'secret'", "x".repeat(1000)));
    spoken.call_with_holes(Request, &ask, &[(0, 40)], false);
    spoken.tells(&asked(1, "SELECT t | SELECT * FROM t WHERE a = ?", &ask));
}

#[test]
fn commands_that_were_not_captured_are_counted() {
    let mut spoken = open();
    spoken.call_with_holes(Request, &query("SELECT 1"), &[], false);
    spoken.server(rows(1)).tells(&["unread"]);
    let (ask, answer) = (query("SELECT a FROM t"), rows(1));
    spoken.client(&ask).server(&answer).tells(&told(1, "SELECT t | SELECT a FROM t", &ask, &answer, ", 1 rows"));
    // Of several, the first is known.
    let several = [query("SELECT 1"), query("SELECT 2")].concat();
    spoken.call_with_holes(Request, &several, &[(0, 13)], false);
    spoken.server([rows(1), rows(1)].concat()).client(&ask).server(&answer);
    assert_eq!(spoken.outcomes(), ["SELECT, 1 rows", "SELECT t, 1 rows"]);
}

#[test]
fn a_file_may_be_passed_over() {
    let mut spoken = open();
    let ask = query("LOAD DATA LOCAL INFILE 'secret' INTO TABLE t");
    let file = [packet(2, [b'x'; 5000]), packet(3, [b'x'; 5000]), packet(4, "")].concat();
    spoken.client(&ask).server(answer(&[b"\xfbsecret"]));
    spoken.call_with_holes(Request, &file, &[(0, 100)], false);
    spoken.server(packet(5, ok(2, 2)));
    let asks = "LOAD | LOAD DATA LOCAL INFILE ? INTO TABLE t";
    spoken.tells(&told(1, asks, &[ask, file].concat(), &[0; 4 + 7 + 4 + 7], ", 2 rows"));
    spoken.client(query("BEGIN")).server(packet(1, OK));
    assert_eq!(spoken.outcomes().last().map(|last| &**last), Some("BEGIN"));
}

#[test]
fn a_connection_that_was_met_in_its_midst() {
    for (separator, end) in [(Some(EOF), EOF), (None, ROWS_END)] {
        let mut spoken = Spoken::joined_to(4000);
        spoken.server(packet(3, ROW)).client(command(0x0e, "")).server(packet(1, OK)).is_silent();
        let (ask, answer) =
            (execute(1), answer(&[&[&b"\x01"[..], COLUMN], separator.as_slice(), &[ROW, end]].concat()));
        spoken.client(&ask).server(&answer).tells(&told(1, "EXECUTE", &ask, &answer, ", 1 rows"));
    }
    // It is not known whether a packet ends the descriptions, which then belongs to no answer.
    for separates in [true, false] {
        let mut spoken = Spoken::joined_to(4000);
        let ask = prepare("SELECT a FROM t");
        let answered = prepared(1, 1, 0);
        let answered = if separates { answered } else { answered[..answered.len() - 9].to_vec() };
        spoken.client(&ask).server(answered).client(execute(1));
        let answer = if separates { rows(1) } else { answer(&[b"\x01", COLUMN, ROW, ROWS_END]) };
        spoken.server(answer);
        assert_eq!(spoken.outcomes(), ["PREPARE SELECT t", "SELECT t, 1 rows"]);
    }
}

#[test]
fn a_packet_out_of_order_shows_that_the_pairs_are_lost() {
    let mut spoken = open();
    spoken.client(query("SELECT 1")).server(packet(4, OK)).client(query("BEGIN")).server(packet(1, OK));
    assert_eq!(spoken.outcomes(), ["SELECT open", "BEGIN"]);
}
