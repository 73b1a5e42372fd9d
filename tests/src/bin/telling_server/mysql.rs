//! Secrets in statements by the rules of MySQL.

use sqlx::{Connection as _, MySqlConnection};

use crate::Failure;

/// Without parameters.
const STATEMENTS: &[&str] = &[
    "CREATE TEMPORARY TABLE secrets (word TEXT, number INT)",
    "INSERT INTO secrets VALUES (\"hunter2-double\", 7741093), ('it\\'s hunter2', -7741093), ('it''s hunter2', 0x7741093)",
    "REPLACE INTO secrets VALUES (\"it\"\"s hunter2\", 1), (\"it\\\"s hunter2\", 2), (_utf8'hunter2-introduced', 3)",
    "SELECT 1--'hunter2' AS minus, 2 -- it's hunter2-line\n, 3 # it's hunter2-hash\n, 4 /* it's hunter2 /* not nested */",
    "SELECT /*! 'hunter2-code' */, /*!99999 'hunter2-later' */ 'hunter2-behind'",
    "SELECT 1 AS `a` /*!99999 , 'x*/, 'hunter2-two-ways'",
    "SELECT N'hunter2-national', x'68756e74657232', DATE '2024-01-01' + 7741093",
    "SELECT 1; SELECT 'hunter2-second'; SELECT 2",
    "SET @teller = 'hunter2-variable', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "SELECT 'hunter2-backslash\\', 'hunter2-behind-it'",
    "SET sql_mode = ''",
];

/// Whose error repeats what was sent.
const FAILING: &[&str] = &[
    "SELECT 'hunter2-a' 'hunter2-b' FROM",
    "INSERT INTO secrets VALUES ('hunter2-row', 'hunter2-number', 'hunter2-too-many')",
];

pub(crate) async fn tell(url: &str) -> Result<(), Failure> {
    let mut connection = MySqlConnection::connect(url).await?;
    for statement in STATEMENTS {
        // Some are no statements of MariaDB. They are sent all the same.
        let _ = sqlx::raw_sql(*statement).execute(&mut connection).await;
    }
    for statement in FAILING {
        assert!(sqlx::raw_sql(*statement).execute(&mut connection).await.is_err(), "{statement}");
    }
    let prepared = "SELECT word FROM secrets WHERE word = ? AND word <> 'hunter2-prepared' AND number <> 7741093";
    sqlx::query(prepared).bind("hunter2-bound").execute(&mut connection).await?;
    Ok(connection.close().await?)
}
