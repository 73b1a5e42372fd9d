//! Connections of hand-made and of recorded messages: what is told of them, and when.

use proptest::prelude::*;

use crate::protocol::spoken::{Spoken, any_calls, in_calls, recorded, speak_any};
use crate::transport::segment::Direction::{Request, Response};

const RESP2: &str = include_str!("tests/recorded/resp2.txt");
const RESP3: &str = include_str!("tests/recorded/resp3.txt");
const PUBSUB: &str = include_str!("tests/recorded/pubsub.txt");

/// A command as clients send it.
fn command(line: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    let strings: Vec<String> = arguments.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{}", arguments.len(), strings.concat())
}

/// What is told of a command: its text, what was sent, what was answered, and how it ended.
fn told(stream: u64, asks: &str, sent: &str, answered: &str, end: &str) -> Vec<String> {
    vec![
        format!("{stream}: redis {asks}"),
        format!("{stream}: sent, {} bytes", sent.len()),
        format!("{stream}: answer"),
        format!("{stream}: ended, {} bytes{end}", answered.len()),
    ]
}

#[test]
fn a_command_and_its_answer() {
    let mut spoken = Spoken::to(6379);
    for (at, (line, answer, asks, end)) in [
        ("GET user:1", "$6\r\nsecret\r\n", "GET | GET user:?", ""),
        ("SET user:1 secret", "+OK\r\n", "SET | SET user:?", ""),
        ("GET user:2", "$-1\r\n", "GET | GET user:?", ""),
        ("GET empty", "$0\r\n\r\n", "GET | GET empty", ""),
        ("INCR user:1", "-WRONGTYPE Operation secret\r\n", "INCR | INCR user:?", ", error WRONGTYPE"),
        ("EVAL secret 0", "!21\r\nSYNTAX invalid syntax\r\n", "EVAL | EVAL", ", error SYNTAX"),
        ("LRANGE a 0 -1", "*2\r\n*1\r\n$1\r\nx\r\n*0\r\n", "LRANGE | LRANGE a", ""),
        ("HGETALL a", "%1\r\n+k\r\n~2\r\n#t\r\n,1.5\r\n", "HGETALL | HGETALL a", ""),
        ("GET b", "|1\r\n+ttl\r\n:3600\r\n=7\r\ntxt:abc\r\n", "GET | GET b", ""),
        ("GET c", "_\r\n", "GET | GET c", ""),
        ("TIME", "(3492890328409238509324850943850943825024385\r\n", "TIME | TIME", ""),
        ("BLPOP queue:a 5", "*-1\r\n", "BLPOP | BLPOP queue:?", ""),
        ("EXEC", "*3\r\n+OK\r\n-WRONGTYPE secret\r\n-ERR secret\r\n", "EXEC | EXEC", ", error WRONGTYPE"),
        ("EXEC", "*2\r\n+OK\r\n-ERR secret\r\n", "EXEC | EXEC", ", error ERR"),
        ("EXEC", "*1\r\n*1\r\n+OK\r\n", "EXEC | EXEC", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let (stream, ask) = (at as u64 + 1, command(line));
        spoken.client(&ask).server(answer).tells(&told(stream, asks, &ask, answer, end));
        let call = 20 * stream;
        let moments = [call - 10, call - 5, call - 1, call + 5, call + 5].map(Some);
        assert_eq!(spoken.moments(stream), moments);
    }
}

#[test]
fn commands_that_open_a_connection_are_no_calls_unless_they_fail() {
    let mut spoken = Spoken::to(6379);
    spoken.client([command("HELLO 3 AUTH alice secret"), command("CLIENT SETINFO LIB-NAME a")].concat());
    spoken.server("%1\r\n+proto\r\n:3\r\n-ERR unknown subcommand\r\n").tells(&["ready", "ready"]);
    let ask = command("GET a");
    spoken.client(&ask).server("_\r\n").tells(&told(1, "GET | GET a", &ask, "_\r\n", ""));
    spoken.client(command("CLIENT ID")).server(":1\r\n");
    assert_eq!(spoken.outcomes().len(), 1);
    let mut refused = Spoken::to(6379);
    let (ask, answer) = (command("AUTH alice secret"), "-WRONGPASS invalid secret\r\n");
    refused.client(&ask).server(answer).tells(&told(1, "AUTH | AUTH", &ask, answer, ", error WRONGPASS"));
    assert_eq!(refused.moments(1), [10, 15, 19, 25, 25].map(Some));
}

#[test]
fn what_is_pushed_answers_nothing() {
    let mut spoken = Spoken::to(6379);
    let ask = command("GET a");
    spoken.client(&ask).server(">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n$1\r\n1\r\n");
    spoken.tells(&told(1, "GET | GET a", &ask, "$1\r\n1\r\n", ""));
    // In RESP2 the messages of channels are arrays.
    let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\nsecret\r\n";
    spoken.client(command("SUBSCRIBE news")).server("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n").server(message);
    spoken.is_silent();
    let (ask, answer) = (command("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    spoken.client(&ask).server(message).server(answer).tells(&told(2, "PING | PING", &ask, answer, ""));
}

#[test]
fn what_is_not_read_is_given_up() {
    for line in ["MONITOR", "PSYNC ? -1", "CLIENT REPLY OFF"] {
        Spoken::to(6379).client(command(line)).server("+OK\r\n").tells(&["given up: Unreadable"]);
    }
}

#[test]
fn commands_may_be_lines() {
    let mut spoken = Spoken::to(6379);
    let (ask, answer) = ("set user:1 secret\r\n", "+OK\r\n");
    spoken.client("\r\n").client(ask).server(answer);
    // Where nothing says that the server is one of Redis, they are turns.
    assert_eq!(spoken.outcomes(), Vec::<String>::new());
    let mut spoken = Spoken::to(6379);
    spoken.client(ask).server(answer).tells(&told(1, "SET | SET user:?", ask, answer, ""));
    let mut other = Spoken::to(4000);
    other.client(ask).server(answer).stop().tells(&["1: tcp ", "1: sent, 19 bytes", "1: answer", "1: ended, 5 bytes"]);
}

#[test]
fn of_strings_the_lengths_suffice() {
    let mut spoken = Spoken::to(6379);
    let ask = format!("{}{}", command(&format!("SET a {}", "x".repeat(5000))), command("GET a"));
    spoken.call_with_holes(Request, ask.as_bytes(), &[(0, 40), (5010, ask.len())], false);
    let answer = format!("+OK\r\n$5000\r\n{}\r\n", "x".repeat(5000));
    spoken.call_with_holes(Response, answer.as_bytes(), &[(0, 40)], false);
    let ended = format!("2: ended, {} bytes", answer.len() - 5);
    assert_eq!(spoken.outcomes(), ["SET", "GET"]);
    assert_eq!(spoken.told.lines.last(), Some(&ended));
}

#[test]
fn a_single_answer_ends_before_the_next_command() {
    let mut spoken = Spoken::to(6379);
    let long = format!("*500\r\n{}", "$6\r\nsecret\r\n".repeat(500));
    let (ask, answer) = (command("LRANGE a 0 -1"), "$1\r\nx\r\n");
    spoken.client(&ask);
    spoken.call_with_holes(Response, long.as_bytes(), &[(0, 600)], true);
    spoken.client(command("GET a")).server(answer);
    let mut expected = told(1, "LRANGE | LRANGE a", &ask, &long, "");
    expected.extend(told(2, "GET | GET a", &command("GET a"), answer, ""));
    spoken.tells(&expected);
    assert_eq!(spoken.moments(1)[4], Some(25));
    // Of several it is not known where they end.
    spoken.client([ask.clone(), command("GET a")].concat());
    spoken.call_with_holes(Response, [&*long, answer].concat().as_bytes(), &[(0, 600)], true);
    spoken.client(&ask).server("*0\r\n");
    let unseen = ["3: unseen", "4: unseen"];
    assert_eq!(spoken.told.lines.iter().filter(|line| unseen.contains(&&***line)).count(), 2);
    assert_eq!(spoken.outcomes().last().map(|last| &**last), Some("LRANGE"));
}

#[test]
fn commands_that_were_not_captured_are_counted_once_and_their_answers_passed_over() {
    let mut spoken = Spoken::to(6379);
    let several = command("GET a").repeat(10);
    spoken.call_with_holes(Request, several.as_bytes(), &[(0, command("GET a").len() + 3)], false);
    spoken.server("$1\r\nx\r\n".repeat(10));
    let ask = command("GET b");
    spoken.client(&ask).server("_\r\n");
    assert_eq!(spoken.told.lines.iter().filter(|line| *line == "unread").count(), 1);
    assert_eq!(spoken.told.lines[5..], told(2, "GET | GET b", &ask, "_\r\n", ""));
}

#[test]
fn a_connection_that_was_met_in_its_midst() {
    let mut spoken = Spoken::joined_to(6379);
    let ask = command("GET a");
    spoken.server("cret\r\n").client(&ask).server("_\r\n").tells(&told(1, "GET | GET a", &ask, "_\r\n", ""));
}

#[test]
fn a_multiplexed_client_and_redis_7() {
    let common = [
        "SET",
        "GET",
        "SET",
        "INCRBY",
        "MULTI",
        "INCRBY",
        "INCRBY",
        "EXEC",
        "HSET",
        "HGETALL",
        "INCRBY, error WRONGTYPE",
        "LPUSH",
        "BLPOP",
        "BLPOP",
        "XADD",
        "XREAD BLOCK",
        "EVAL",
    ];
    for (recording, more) in [(RESP2, &["PUBLISH"][..]), (RESP3, &[])] {
        let spoken = in_calls(Spoken::to(28420), &recorded(recording), &[usize::MAX], usize::MAX);
        assert_eq!(spoken.outcomes(), [&common[..], more].concat());
        assert_eq!(spoken.told.lines[0], "ready");
    }
    let spoken = in_calls(Spoken::to(28420), &recorded(PUBSUB), &[usize::MAX], usize::MAX);
    assert_eq!(spoken.told.lines, ["ready", "ready"]);
}

fn answer() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "+OK\r\n",
        "-ERR secret\r\n",
        ":7\r\n",
        "$6\r\nsecret\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "_\r\n",
        "*0\r\n",
        "#t\r\n",
        "!7\r\nERR bad\r\n",
        "=7\r\ntxt:abc\r\n",
    ]);
    scalar.prop_map(str::to_owned).prop_recursive(3, 12, 4, |inner| {
        (prop::sample::select(vec!['*', '~', '%', '>']), proptest::collection::vec(inner, 1..4)).prop_map(
            |(kind, values)| {
                let pairs = if kind == '%' { 2 } else { 1 };
                format!("{kind}{}\r\n{}", values.len(), values.concat().repeat(pairs))
            },
        )
    })
}

fn turns() -> impl Strategy<Value = Vec<(crate::transport::segment::Direction, Vec<u8>)>> {
    let line = prop::sample::select(vec![
        "GET user:1",
        "SET user:1 secret",
        "HELLO 3 AUTH a secret",
        "CLIENT ID",
        "EVAL secret 1 k secret",
        "MULTI",
        "EXEC",
        "XREAD BLOCK 1 STREAMS s 0",
        "SUBSCRIBE secret",
    ]);
    let group = proptest::collection::vec((line, answer()), 1..4);
    proptest::collection::vec(group, 0..8).prop_map(|groups| {
        let turn = |group: Vec<(&str, String)>| {
            let (asked, answered): (Vec<_>, Vec<_>) =
                group.into_iter().map(|(line, answer)| (command(line), answer)).unzip();
            [(Request, asked.concat().into_bytes()), (Response, answered.concat().into_bytes())]
        };
        groups.into_iter().flat_map(turn).collect()
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(turns in turns(), lengths in proptest::collection::vec(1usize..40, 1..20)) {
        let whole = in_calls(Spoken::to(4000), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(4000), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        let shown = format!("{:?} {:?}", whole.told.lines, split.detector);
        prop_assert!(!shown.contains("secret"));
    }

    #[test]
    fn it_may_end_anywhere(
        turns in turns(),
        lengths in proptest::collection::vec(1usize..40, 1..20),
        limit in 0usize..1000,
    ) {
        let whole = in_calls(Spoken::to(4000), &turns, &[usize::MAX], usize::MAX).told.lines;
        let part = in_calls(Spoken::to(4000), &turns, &lengths, limit).told.lines;
        prop_assert_eq!(&part[..], &whole[..part.len()]);
    }

    #[test]
    fn any_split_of_a_recording_gives_the_same(
        recording in prop::sample::select(vec![RESP2, RESP3, PUBSUB]),
        lengths in proptest::collection::vec(1usize..100, 1..20),
    ) {
        let turns = recorded(recording);
        let whole = in_calls(Spoken::to(4000), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(4000), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        let shown = format!("{:?} {:?}", split.told.lines, split.detector);
        prop_assert!(!shown.contains("secret-"));
    }

    #[test]
    fn any_bytes_are_read(
        turns in turns(),
        calls in any_calls(),
        joined in any::<bool>(),
    ) {
        speak_any(if joined { Spoken::joined_to(6379) } else { Spoken::to(6379) }, &turns, calls);
    }
}
