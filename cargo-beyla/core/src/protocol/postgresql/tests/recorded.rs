//! What real clients and PostgreSQL 15 said.

use proptest::prelude::*;

use super::*;
use crate::protocol::spoken::{in_calls, recorded};

const TOKIO_POSTGRES: &str = include_str!("recorded/tokio-postgres.txt");
const SQLX: &str = include_str!("recorded/sqlx.txt");
const PSQL: &str = include_str!("recorded/psql.txt");

fn outcomes(recording: &str) -> Vec<String> {
    let spoken = in_calls(Spoken::to(5432), &recorded(recording), &[usize::MAX], usize::MAX);
    assert_eq!(spoken.told.lines[0], "ready");
    spoken.outcomes()
}

#[test]
fn tokio_postgres() {
    assert_eq!(
        outcomes(TOKIO_POSTGRES),
        [
            "DROP TABLE items; CREATE TABLE items",
            "PREPARE INSERT items",
            "INSERT items, 1 rows",
            "PREPARE SELECT items",
            "SELECT items, 1 rows",
            "SELECT items, 1 rows",
            // Three at once.
            "SELECT items, 1 rows",
            "SELECT items, 0 rows",
            "SELECT items, 0 rows",
            "PREPARE INSERT items",
            "INSERT items, error 23505",
            "SELECT items; SELECT, 1 rows",
            "PREPARE COPY items",
            "COPY items, 2 rows",
            "PREPARE COPY items",
            "COPY items, 3 rows",
            "START TRANSACTION",
            "PREPARE UPDATE items",
            "UPDATE items, 2 rows",
            "PREPARE SELECT items",
            "BIND SELECT items",
            "SELECT items, 2 rows",
            "SELECT items, 1 rows",
            "ROLLBACK",
            "LISTEN news; NOTIFY news",
        ]
    );
}

#[test]
fn sqlx_with_a_pool() {
    assert_eq!(
        outcomes(SQLX),
        [
            "PREPARE SELECT items",
            "SELECT items, 1 rows",
            "SELECT items, 1 rows",
            "PREPARE SELECT nowhere, error 42P01",
            "BEGIN",
            "PREPARE UPDATE items",
            "UPDATE items, 1 rows",
            "COMMIT",
            "SELECT items, 1 rows",
        ]
    );
}

#[test]
fn psql() {
    assert_eq!(outcomes(PSQL), ["SELECT items, 1 rows", "SELECT items, error 42703", "COPY items, 3 rows"]);
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        recording in prop::sample::select(vec![TOKIO_POSTGRES, SQLX, PSQL]),
        lengths in proptest::collection::vec(1usize..300, 1..20),
    ) {
        let turns = recorded(recording);
        let whole = in_calls(Spoken::to(5432), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(5432), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        let shown = format!("{:?} {:?}", split.told.lines, split.detector);
        prop_assert!(!shown.contains("secret-"));
    }
}
