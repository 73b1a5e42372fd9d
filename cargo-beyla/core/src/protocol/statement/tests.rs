//! Statements, and what may be shown of them.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn shown(sql: &str, summary: &str, text: &str) {
    let statement = Statement::read(sql.as_bytes());
    assert_eq!((&*statement.summary, &*statement.text), (summary, text), "{sql}");
}

#[test]
fn a_summary_is_the_operations_and_their_targets() {
    for (sql, summary) in [
        ("SELECT * FROM users WHERE id = $1", "SELECT users"),
        ("select name from Public.\"Users\" u", "SELECT Public.Users"),
        ("INSERT INTO orders (a, b) VALUES (1, 'x') RETURNING id", "INSERT orders"),
        ("INSERT INTO shipping_details SELECT * FROM orders", "INSERT shipping_details SELECT orders"),
        ("SELECT * FROM songs, artists WHERE a = b", "SELECT songs artists"),
        ("SELECT * FROM a x JOIN b AS y ON x.i = y.i LEFT OUTER JOIN c USING (i), d ORDER BY 1, 2", "SELECT a b c d"),
        ("SELECT d FROM (SELECT * FROM orders JOIN customers ON a = b) x, y", "SELECT SELECT orders customers y"),
        ("UPDATE t SET a = 1, b = 2 FROM u WHERE t.i = u.i", "UPDATE t u"),
        ("DELETE FROM ONLY t USING u WHERE a IN (SELECT i FROM v)", "DELETE t u SELECT v"),
        ("SELECT extract(year FROM at), substring(a FROM 2) FROM t", "SELECT t"),
        ("SELECT 1 FROM t WHERE a IS DISTINCT FROM b FOR UPDATE SKIP LOCKED", "SELECT t"),
        ("SELECT * FROM generate_series(1, 9), t", "SELECT t"),
        ("WITH r AS (SELECT * FROM orders) UPDATE t SET a = 1", "SELECT orders UPDATE t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1", "INSERT t"),
        ("BEGIN", "BEGIN"),
        ("begin; SELECT * FROM a; SELECT * FROM b; commit", "BEGIN; SELECT a; SELECT b; COMMIT"),
        ("EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN ANALYZE DELETE t"),
        ("CREATE TABLE IF NOT EXISTS a.t (id int)", "CREATE TABLE a.t"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"),
        ("DROP TABLE IF EXISTS t", "DROP TABLE t"),
        ("TRUNCATE TABLE t", "TRUNCATE t"),
        ("COPY t FROM STDIN", "COPY t"),
        ("COPY (SELECT * FROM t) TO STDOUT", "COPY SELECT t"),
        ("LISTEN news", "LISTEN news"),
        ("SAVEPOINT _sqlx_savepoint_1", "SAVEPOINT"),
        ("SET search_path = secret", "SET"),
        ("/* ping */", "QUERY"),
        ("", "QUERY"),
        ("hunter2 is no operation", "QUERY"),
    ] {
        assert_eq!(&*Statement::read(sql.as_bytes()).summary, summary, "{sql}");
    }
    let long = format!("SELECT * FROM {}", vec!["some_long_table_name"; 40].join(", "));
    let summary = Statement::read(long.as_bytes()).summary;
    assert_eq!(summary.len(), "SELECT".len() + 11 * " some_long_table_name".len());
}

#[test]
fn a_text_has_no_literals() {
    shown("SELECT 'a''b',  E'c\\'d', x FROM t", "SELECT t", "SELECT ?, x FROM t");
    shown("SELECT $1, $tag$ a $b$ $tag$ , $$x$$::json FROM t", "SELECT t", "SELECT $1, ?::json FROM t");
    shown("SELECT 1.5e-10, -0x1F, .5, t1.a1 FROM t1 -- hidden", "SELECT t1", "SELECT ?, -?, t1.a1 FROM t1");
    shown("SELECT a/* one /* two */ three */FROM t", "SELECT t", "SELECT a FROM t");
    shown(
        "SELECT * FROM t WHERE a IN (1, 2,\n 3) AND b=ANY('{1,2}')",
        "SELECT t",
        "SELECT * FROM t WHERE a IN (?) AND b=ANY(?)",
    );
    shown("INSERT INTO t VALUES (1, 'a'), (2,'b'),\n(3, 'c'), ($1)", "INSERT t", "INSERT INTO t VALUES (?), ($1)");
    shown("SELECT a->>'k', b ? 'k' FROM t LIMIT 10", "SELECT t", "SELECT a->>?, b ? ? FROM t LIMIT ?");
    shown("SELECT date'2020-01-01', U&'d\\0061t' FROM \"my t\"", "SELECT my t", "SELECT ?, U&? FROM \"my t\"");
    shown("SET app.tenant = acme, x; SET ROLE bob", "SET; SET", "SET app.tenant = ?; SET ROLE bob");
    shown("ALTER ROLE bob SET app.key TO acme", "ALTER ROLE bob", "ALTER ROLE bob SET app.key TO ?");
    shown("ALTER USER bob PASSWORD 'x'", "ALTER USER bob", "ALTER USER bob PASSWORD ?");
    shown("DO $$ BEGIN x; END $$", "DO", "DO ?");
    // What ends in the midst of a literal, and what may go on behind where it seems to end.
    for cut in
        ["SELECT 'abc", "SELECT E'abc\\'", "SELECT $a$ abc $a", "SELECT $abc", "SELECT \"abc", "SELECT 'a\\' abc '"]
    {
        shown(cut, "SELECT", "SELECT ?");
    }
    shown("SELECT a /* abc", "SELECT", "SELECT a");
    shown("SELECT \"it's\" FROM t", "SELECT t", "SELECT ? FROM t");
}

/// By the rules of MySQL, where `\` escapes.
#[track_caller]
fn mysql(sql: &str, summary: &str, text: &str) {
    let statement = Statement::read_as(Dialect::Mysql { has_escapes: Some(true) }, sql.as_bytes());
    assert_eq!((&*statement.summary, &*statement.text), (summary, text), "{sql}");
}

#[test]
fn mysql_has_rules_of_its_own() {
    mysql("SELECT `a` FROM `my db`.`t` AS `x y`", "SELECT my db.t", "SELECT `a` FROM `my db`.`t` AS `x y`");
    mysql(r#"SELECT "it's", 'a "b" \' c', "d\"e", "f""g" FROM t"#, "SELECT t", "SELECT ? FROM t");
    mysql("SELECT a # it's hidden\n, b -- so is \"this\"\n FROM t", "SELECT t", "SELECT a , b FROM t");
    mysql("SELECT a--'x' FROM t /* one /* two */", "SELECT t", "SELECT a--? FROM t");
    mysql("SELECT x'4D', 0x4d, _utf8'x', n\"y\", @a, @@b := 1", "SELECT", "SELECT ?, n?, @a, @@b := ?");
    mysql("SELECT /*+ MAX_EXECUTION_TIME(9) */ /*!40001 SQL_NO_CACHE */ a FROM t", "SELECT t", "SELECT a FROM t");
    mysql("REPLACE INTO t VALUES (1)", "REPLACE t", "REPLACE INTO t VALUES (?)");
    mysql("INSERT IGNORE INTO t SET a = 1 ON DUPLICATE KEY UPDATE b = 2", "INSERT t", INSERT_IGNORE);
    mysql(
        "UPDATE LOW_PRIORITY t SET a = replace(b, 'c', 'd')",
        "UPDATE t",
        "UPDATE LOW_PRIORITY t SET a = replace(b, ?)",
    );
    let created = "CREATE TABLE t (a TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)";
    mysql(created, "CREATE TABLE t", created);
    mysql("LOCK TABLES t READ", "LOCK t", "LOCK TABLES t READ");
    mysql("SHOW TABLES; DESC t; UNLOCK TABLES", "SHOW; DESC; UNLOCK", "SHOW TABLES; DESC t; UNLOCK TABLES");
    mysql("CREATE USER bob IDENTIFIED BY 'x'", "CREATE USER bob", "CREATE USER bob IDENTIFIED BY ?");
    // What can be read in two ways.
    for cut in ["SELECT `a", "SELECT /*! 'a' */ b", "SELECT /*!99999 a # */ b", "SELECT /*M! a", "SELECT '\u{e9}\\' a'"]
    {
        mysql(cut, "SELECT", "SELECT ?");
    }
    let unknown = Statement::read_as(Dialect::Mysql { has_escapes: None }, br"SELECT 'a\' b' FROM t");
    assert_eq!((&*unknown.summary, &*unknown.text), ("SELECT", "SELECT ?"));
}

const INSERT_IGNORE: &str = "INSERT IGNORE INTO t SET a = ? ON DUPLICATE KEY UPDATE b = ?";

#[test]
fn a_text_is_bounded() {
    let long = format!("SELECT {} FROM t", vec!["über"; 2000].join(" + "));
    let text = Statement::read(long.as_bytes()).text;
    assert!(text.len() <= 2048 + '…'.len_utf8() && text.ends_with('…'), "{}", text.len());
    let cut = Statement::read(&b"SELECT \xc3"[..]).text;
    assert_eq!(&*cut, "SELECT \u{fffd}");
}

/// What must not be seen, in any part.
const SECRET: &str = "Zq9Xw7Kp";

fn literal() -> impl Strategy<Value = String> {
    let quoted = prop_oneof![
        Just("'S'"),
        Just("'a''S'"),
        Just("E'\\'S\\\\'"),
        Just("e'S'"),
        Just("$$S'$$"),
        Just("$q$S$ $q$"),
        Just("B'S'"),
        Just("U&'S'"),
        Just("date 'S'"),
        Just("N'S\"'"),
        Just("'S\\'"),
        Just("'S' \n 'S'"),
        Just("/* S /* ' */ S */"),
        Just("-- S ' \"\n"),
        Just("774109335e-8"),
        Just(".7741093"),
        Just("0x7741093"),
        Just("'{\"k\": \"S\"}'"),
        Just("\"S'\""),
    ];
    quoted.prop_map(|quoted: &str| quoted.replace('S', SECRET))
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => literal(),
        4 => prop::sample::select(vec![
            "SELECT", "FROM", "t", "WHERE", "a.b", "=", "(", ")", ",", ";", "INSERT INTO", "VALUES", "$1", "JOIN", "\"q n\"",
            "::", "->>", "?", "ON", "SET", "IN", "UPDATE", "-", "*", "/", "E", "$x", "[", "]", "ALTER", "TO", "\u{fc}",
        ]).prop_map(str::to_owned),
    ]
}

fn mysql_literal() -> impl Strategy<Value = String> {
    let quoted = prop_oneof![
        Just("'S'"),
        Just("'a''S'"),
        Just("'\\'S\\\\'"),
        Just("\"S\""),
        Just("\"S\\\"'S\""),
        Just("_utf8'S'"),
        Just("N\"S'\""),
        Just("x'S'"),
        Just("# S ' \"\n"),
        Just("-- S ' \"\n"),
        Just("--'S\n S'"),
        Just("/* S ' /* S */"),
        Just("/*!50000 'S' */"),
        Just("/*! a */ 'S'"),
        Just("/*! '*/ S' */"),
        Just("774109335e-8"),
        Just("`S'`"),
        Just("'\u{e9}S'"),
    ];
    quoted.prop_map(|quoted: &str| quoted.replace('S', SECRET))
}

fn mysql_token() -> impl Strategy<Value = String> {
    let others = vec![
        "SELECT",
        "FROM",
        "t",
        "a.b",
        "=",
        "(",
        ")",
        ",",
        ";",
        "INSERT INTO",
        "VALUES",
        "?",
        "`q n`",
        "SET",
        "-",
        "*",
        "/",
        "E",
        "@",
        "\\N",
        "REPLACE",
        "\u{fc}",
    ];
    prop_oneof![3 => mysql_literal(), 4 => prop::sample::select(others).prop_map(str::to_owned)]
}

proptest! {
    #[test]
    fn no_literal_of_mysql_survives(
        tokens in proptest::collection::vec((mysql_token(), prop::sample::select(vec![" ", "\n", "\t "])), 0..40),
        cut in any::<prop::sample::Index>(),
        has_escapes in prop::sample::select(vec![Some(true), None]),
    ) {
        let sql = tokens.iter().map(|(token, space)| format!("{token}{space}")).collect::<Vec<_>>().concat();
        for sql in [&sql.as_bytes()[..cut.index(sql.len() + 1)], sql.as_bytes()] {
            let Statement { summary, text } = Statement::read_as(Dialect::Mysql { has_escapes }, sql);
            for part in ["Zq", "9X", "Xw7", "Kp", "774"] {
                prop_assert!(!summary.contains(part) && !text.contains(part), "{summary}\n{text}");
            }
        }
    }

    #[test]
    fn no_literal_survives(
        tokens in proptest::collection::vec((token(), prop::sample::select(vec![" ", "\n", "\t "])), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let sql = tokens.iter().map(|(token, space)| format!("{token}{space}")).collect::<Vec<_>>().concat();
        for sql in [&sql.as_bytes()[..cut.index(sql.len() + 1)], sql.as_bytes()] {
            let Statement { summary, text } = Statement::read(sql);
            for part in ["Zq", "9X", "Xw7", "Kp", "774"] {
                prop_assert!(!summary.contains(part) && !text.contains(part), "{summary}\n{text}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read(sql in proptest::collection::vec(any::<u8>(), 0..200)) {
        let Statement { summary, text } = Statement::read(&sql);
        prop_assert!(!summary.is_empty() && summary.len() <= 255 && text.len() <= 3 * 200 + 200);
    }
}
