//! However the bytes are moved and captured, the same is told.

use proptest::prelude::*;

use super::*;
use crate::protocol::spoken::{any_calls, in_calls, speak_any};

/// A round trip: what the client sends, and what the server answers.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let sql = prop::sample::select(vec![
        "SELECT * FROM t WHERE a = 'secret'",
        "INSERT INTO t VALUES (1, $$secret$$)",
        "UPDATE t SET a = $1",
        "BEGIN",
        "",
    ]);
    let name = || prop::sample::select(vec!["", "s0", "s1"]);
    let count = 0usize..4;
    prop_oneof![
        (sql.clone(), count.clone(), any::<bool>()).prop_map(|(sql, count, fails)| {
            let end = if fails { failed("23505") } else { complete(&format!("SELECT {count}")) };
            (query(sql), [rows(count), end, ready()].concat())
        }),
        (name(), sql).prop_map(|(name, sql)| {
            let ask = [parse(name, sql), describe(&format!("S{name}")), sync()].concat();
            (ask, [done(b'1'), message(b't', "\0\0"), done(b'n'), ready()].concat())
        }),
        (name(), count, 1usize..3).prop_map(|(name, count, times)| {
            let ask = [bind("", name), execute("")].concat().repeat(times);
            let answer = [done(b'2'), row().repeat(count), complete("UPDATE 1")].concat().repeat(times);
            ([ask, sync()].concat(), [answer, ready()].concat())
        }),
        (name(), any::<bool>()).prop_map(|(name, fails)| {
            let ask = [bind("", name), execute(""), close("P"), sync()].concat();
            let answer = if fails { failed("42P01") } else { [done(b'2'), done(b'I'), done(b'3')].concat() };
            (ask, [answer, ready()].concat())
        }),
        Just((sync(), ready())),
    ]
}

/// Turns of groups of exchanges, each group sent ahead.
fn turns() -> impl Strategy<Value = Vec<(Direction, Vec<u8>)>> {
    let group = proptest::collection::vec(exchange(), 1..4);
    proptest::collection::vec(group, 0..8).prop_map(|groups| {
        let mut turns = vec![(Request, startup()), (Response, [message(b'R', [0; 4]), ready()].concat())];
        for group in groups {
            let (asked, answered): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            turns.extend([(Request, asked.concat()), (Response, answered.concat())]);
        }
        turns
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(turns in turns(), lengths in proptest::collection::vec(1usize..60, 1..20)) {
        let whole = in_calls(Spoken::to(5432), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(5432), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        prop_assert!(!whole.told.lines.iter().any(|line| line.contains("secret")));
    }

    #[test]
    fn it_may_end_anywhere(
        turns in turns(),
        lengths in proptest::collection::vec(1usize..60, 1..20),
        limit in 0usize..2000,
    ) {
        let whole = in_calls(Spoken::to(5432), &turns, &[usize::MAX], usize::MAX).told.lines;
        let part = in_calls(Spoken::to(5432), &turns, &lengths, limit).told.lines;
        prop_assert_eq!(&part[..], &whole[..part.len()]);
    }

    #[test]
    fn any_bytes_are_read(
        turns in turns(),
        calls in any_calls(),
        joined in any::<bool>(),
    ) {
        speak_any(if joined { Spoken::joined_to(5432) } else { Spoken::to(5432) }, &turns, calls);
    }
}
