//! Secrets in statements.

use sqlx::{Connection as _, PgConnection};

use crate::Failure;

/// Without parameters.
const STATEMENTS: &[&str] = &[
    "CREATE TEMPORARY TABLE secrets (word text, number numeric)",
    "INSERT INTO secrets VALUES ('hunter2-simple', 7741093), ('it''s hunter2', -7741093.25)",
    "SELECT E'it\\'s hunter2-escaped\\\\', $$hunter2-dollar$$, $tag$hunter2-'tagged' $t$ $tag$",
    "SELECT 1 /* hunter2-comment /* nested */ hunter2 */ -- hunter2-line",
    "SELECT * FROM secrets WHERE word IN ('hunter2-a', 'hunter2-b') AND number IN (7741093, 77410935e-1)",
    r#"SELECT '{"password": "hunter2-json", "number": 7741093}'::jsonb ->> 'password'"#,
    "SELECT U&'hunter2-unicode\\0061', N'hunter2-national', date '2024-01-01' + 7741093",
    "SELECT 1; SELECT 'hunter2-second'; SELECT 2",
    "SET application_name = 'hunter2-application'",
    "CREATE ROLE teller PASSWORD 'hunter2-role'",
    "DO $do$ BEGIN PERFORM 'hunter2-done'; END $do$",
    "NOTIFY news, 'hunter2-payload'",
];

/// Whose error repeats what was sent.
const FAILING: &[&str] =
    &["SELECT 'hunter2-number'::int", "INSERT INTO secrets VALUES ('hunter2-row', 'hunter2-number'::numeric)"];

pub(crate) async fn tell(url: &str) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    for statement in STATEMENTS {
        sqlx::raw_sql(*statement).execute(&mut connection).await?;
    }
    for statement in FAILING {
        assert!(sqlx::raw_sql(*statement).execute(&mut connection).await.is_err(), "{statement}");
    }
    let prepared = "SELECT word FROM secrets WHERE word = $1 AND word <> 'hunter2-prepared' AND number <> 7741093";
    sqlx::query(prepared).bind("hunter2-bound").execute(&mut connection).await?;
    let mut copy = connection.copy_in_raw("COPY secrets (word) FROM STDIN").await?;
    copy.send("hunter2-copied\n".as_bytes()).await?;
    copy.finish().await?;
    Ok(connection.close().await?)
}
