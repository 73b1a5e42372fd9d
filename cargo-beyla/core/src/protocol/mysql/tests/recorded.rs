//! What real clients and MariaDB 10.11 said.

use proptest::prelude::*;

use super::*;
use crate::protocol::spoken::{in_calls, recorded};

const MARIADB: &str = include_str!("recorded/mariadb.txt");
/// By way of Perl, with prepared statements.
const LIBMARIADB: &str = include_str!("recorded/libmariadb.txt");

fn outcomes(recording: &str) -> Vec<String> {
    let spoken = in_calls(Spoken::to(3306), &recorded(recording), &[usize::MAX], usize::MAX);
    assert_eq!(spoken.told.lines[0], "ready");
    spoken.outcomes()
}

#[test]
fn the_client_of_mariadb() {
    assert_eq!(
        outcomes(MARIADB),
        [
            "CREATE TABLE items",
            "INSERT items, 2 rows",
            "SELECT items, 2 rows",
            "SELECT nowhere, error 1146 (42S02)",
            "UPDATE items, 1 rows",
            "CREATE TABLE words",
            "LOAD, 2 rows",
            "SELECT, 1 rows",
            "USE",
            "SHOW, 2 rows",
            "DROP TABLE words",
        ]
    );
}

#[test]
fn the_library_of_mariadb() {
    assert_eq!(
        outcomes(LIBMARIADB),
        [
            "SET",
            "SET",
            "SET",
            "SET",
            "DROP TABLE parts",
            "CREATE TABLE parts",
            "PREPARE INSERT parts",
            "INSERT parts, 1 rows",
            "INSERT parts, 1 rows",
            "INSERT parts, error 1062 (23000)",
            "PREPARE SELECT parts",
            // The descriptions of their columns are left out.
            "SELECT parts, 2 rows",
            "SELECT parts, 1 rows",
            "SELECT parts, 0 rows",
            "PREPARE SELECT nowhere, error 1146 (42S02)",
            "SET",
            "PREPARE UPDATE parts",
            "UPDATE parts, 2 rows",
            "COMMIT",
            "SET",
        ]
    );
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        recording in prop::sample::select(vec![MARIADB, LIBMARIADB]),
        lengths in proptest::collection::vec(1usize..300, 1..20),
    ) {
        let turns = recorded(recording);
        let whole = in_calls(Spoken::to(3306), &turns, &[usize::MAX], usize::MAX);
        let split = in_calls(Spoken::to(3306), &turns, &lengths, usize::MAX);
        prop_assert_eq!(&split.told.lines, &whole.told.lines);
        let shown = format!("{:?} {:?}", split.told.lines, split.detector);
        prop_assert!(!shown.contains("secret-"));
    }
}
