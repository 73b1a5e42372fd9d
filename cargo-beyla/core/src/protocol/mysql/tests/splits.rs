//! However the bytes are moved and captured, the same is told.

use proptest::prelude::*;

use super::*;
use crate::protocol::spoken::{any_calls, in_calls, speak_any};

/// A command, and what the server answers.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let sql = prop::sample::select(vec![
        "SELECT * FROM `t` WHERE a = \"secret\"",
        "INSERT INTO t VALUES (1, 'secret')",
        "UPDATE t SET a = ?",
        "BEGIN",
        "",
    ]);
    let count = 0usize..4;
    prop_oneof![
        (sql.clone(), count.clone(), any::<bool>()).prop_map(|(sql, count, fails)| {
            (query(sql), if fails { answer(&[&error(1146, "42S02")]) } else { rows(count) })
        }),
        (sql.clone(), 0u8..3).prop_map(|(sql, affected)| (query(sql), answer(&[&ok(affected, 2)]))),
        (sql, 1u32..3, 0u16..3, 0u16..3)
            .prop_map(|(sql, number, columns, parameters)| (prepare(sql), prepared(number, columns, parameters))),
        (1u32..3, count).prop_map(|(number, count)| (execute(number), rows(count))),
        (1u32..3).prop_map(|number| ([close(number), execute(number)].concat(), answer(&[&ok(1, 2)]))),
        Just((command(0x0e, ""), answer(&[OK]))),
        Just((command(9, ""), answer(&[b"Uptime: 1"]))),
    ]
}

fn turns() -> impl Strategy<Value = Vec<(Direction, Vec<u8>)>> {
    proptest::collection::vec(exchange(), 0..10).prop_map(|exchanges| {
        let mut turns = vec![(Response, greeting(PLAIN)), (Request, login(1, PLAIN)), (Response, packet(2, OK))];
        turns.extend(exchanges.into_iter().flat_map(|(asked, answered)| [(Request, asked), (Response, answered)]));
        turns
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(turns in turns(), lengths in proptest::collection::vec(1usize..60, 1..20)) {
        let whole = in_calls(Spoken::to(3306), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(3306), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        prop_assert!(!whole.told.lines.iter().any(|line| line.contains("secret")));
        prop_assert!(!whole.told.lines.iter().any(|line| line.contains("un")), "{:?}", whole.told.lines);
    }

    #[test]
    fn it_may_end_anywhere(
        turns in turns(),
        lengths in proptest::collection::vec(1usize..60, 1..20),
        limit in 0usize..2000,
    ) {
        let whole = in_calls(Spoken::to(3306), &turns, &[usize::MAX], usize::MAX).told.lines;
        let part = in_calls(Spoken::to(3306), &turns, &lengths, limit).told.lines;
        prop_assert_eq!(&part[..], &whole[..part.len()]);
    }

    #[test]
    fn any_bytes_are_read(
        turns in turns(),
        calls in any_calls(),
        joined in any::<bool>(),
    ) {
        speak_any(if joined { Spoken::joined_to(3306) } else { Spoken::to(3306) }, &turns, calls);
    }
}
