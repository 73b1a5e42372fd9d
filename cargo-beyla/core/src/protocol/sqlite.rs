//! Statements of SQLite: what may be shown of them.
//!
//! SQLite has lexical rules of its own ("SQLite Keywords", "Expression" of its manual): `\` escapes nothing, comments do not
//! nest, `[a]` and `` `a` `` are names, and what stands in double quotes is a name if there is such a column, else a string.
//! So a statement is first written as PostgreSQL would have it, with nothing in its strings.

use memchr::memmem;

use crate::protocol::statement::{STATEMENT_MAX, Statement};

/// A string, or what may be one.
const LITERAL: &[u8] = b"''";

/// Words behind which the name of a table stands, and no string.
const BEFORE_TABLE: [&str; 6] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "REFERENCES"];

/// Reads a statement, or several with `;` between them. The bytes may be the beginning of one.
pub fn read(sql: &[u8]) -> Statement {
    Statement::read(&without_strings(&sql[..sql.len().min(STATEMENT_MAX)]))
}

/// The statement with empty strings, and with names in double quotes only.
fn without_strings(sql: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sql.len());
    let mut rest = sql;
    let mut begin = 0;
    while let [first, behind @ ..] = rest {
        match first {
            b';' => begin = out.len() + 1,
            // The value of a setting may be a string without quotes.
            b'=' | b'('
                if out[begin..]
                    .trim_ascii_start()
                    .get(..6)
                    .is_some_and(|word| word.eq_ignore_ascii_case(b"PRAGMA")) =>
            {
                out.push(*first);
                if behind.first() == Some(&b' ') {
                    out.push(b' ');
                }
                out.extend(LITERAL);
                let end = behind.iter().position(|byte| matches!(byte, b';' | b')')).unwrap_or(behind.len());
                rest = &behind[end..];
                continue;
            }
            _ => {}
        }
        let quoted = match first {
            b'\'' | b'"' | b'`' => Some(quoted(behind, *first)),
            b'[' => Some(behind.iter().position(|&byte| byte == b']').map(|length| (length, length + 1))),
            _ => None,
        };
        rest = match (quoted, rest) {
            // Nobody knows where it ends.
            (Some(None), _) => {
                out.extend(LITERAL);
                break;
            }
            (Some(Some((length, end))), _) => {
                let (name, behind) = (&behind[..length], &behind[end..]);
                let is_name = match first {
                    b'\'' => false,
                    b'"' => out.ends_with(b".") || behind.starts_with(b".") || is_before_table(&out),
                    _ => true,
                };
                if is_name && !name.contains(&b'"') {
                    out.push(b'"');
                    out.extend(name);
                    out.push(b'"');
                } else {
                    out.extend(LITERAL);
                }
                behind
            }
            (None, [b'-', b'-', behind @ ..]) => {
                out.push(b' ');
                memchr::memchr(b'\n', behind).map_or(&[], |end| &behind[end..])
            }
            (None, [b'/', b'*', behind @ ..]) => {
                out.push(b' ');
                memmem::find(behind, b"*/").map_or(&[], |end| &behind[end + 2..])
            }
            // Parameters: `?1`, `$name`.
            (None, [b'?' | b'$', ..]) => {
                out.push(b'?');
                let end = behind.iter().position(|byte| !is_word(*byte)).unwrap_or(behind.len());
                &behind[end..]
            }
            _ => {
                out.push(*first);
                behind
            }
        };
    }
    out
}

/// What stands between quotes and behind them, from behind the first on: the number of bytes to the last quote, and to what
/// follows it.
fn quoted(from: &[u8], quote: u8) -> Option<(usize, usize)> {
    let mut at = 0;
    loop {
        at += memchr::memchr(quote, &from[at..])?;
        if from.get(at + 1) != Some(&quote) {
            return Some((at, at + 1));
        }
        at += 2;
    }
}

/// Whether the name of a table comes next.
fn is_before_table(out: &[u8]) -> bool {
    let out = out.trim_ascii_end();
    let begin = out.iter().rposition(|byte| !is_word(*byte)).map_or(0, |at| at + 1);
    BEFORE_TABLE.iter().any(|word| out[begin..].eq_ignore_ascii_case(word.as_bytes()))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | 0x80..)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn both(sql: &str) -> (String, String) {
        let Statement { summary, text } = read(sql.as_bytes());
        (summary.to_string(), text.to_string())
    }

    #[test]
    fn literals_are_replaced_as_sqlite_reads_them() {
        for (sql, summary, text) in [
            (
                "SELECT id FROM orders WHERE name = 'it''s \\' AND n = 5",
                "SELECT orders",
                "SELECT id FROM orders WHERE name = ? AND n = ?",
            ),
            ("INSERT INTO t (a) VALUES (x'0a1b'), ('b')", "INSERT t", "INSERT INTO t (a) VALUES (?)"),
            ("SELECT * FROM users WHERE token = \"s3cret\"", "SELECT users", "SELECT * FROM users WHERE token = ?"),
            ("SELECT \"a\".\"id\" FROM \"a\"", "SELECT a", "SELECT \"a\".\"id\" FROM \"a\""),
            ("SELECT `a`.`id` FROM [b c]", "SELECT b c", "SELECT \"a\".\"id\" FROM \"b c\""),
            ("SELECT [it's], 'secret' FROM t", "SELECT t", "SELECT ? FROM t"),
            (
                "/* it's */ DELETE FROM t -- 'x\nWHERE a = $key AND b = :b AND c = ?2",
                "DELETE t",
                "DELETE FROM t WHERE a = ? AND b = :b AND c = ?",
            ),
            ("PRAGMA key = 'secret'", "PRAGMA", "PRAGMA key = ?"),
            ("PRAGMA main.key=secret; SELECT a", "PRAGMA; SELECT", "PRAGMA main.key=?; SELECT a"),
            ("pragma table_info(orders)", "PRAGMA", "pragma table_info(?)"),
            ("ATTACH 'a.db' AS b KEY 'secret'", "QUERY", "ATTACH ? AS b KEY ?"),
            ("BEGIN IMMEDIATE", "BEGIN", "BEGIN IMMEDIATE"),
            ("SELECT 1 FROM t WHERE a = 'cut", "SELECT t", "SELECT ? FROM t WHERE a = ?"),
        ] {
            assert_eq!(both(sql), (summary.to_owned(), text.to_owned()), "{sql}");
        }
    }

    /// A part of a statement that is whole in itself.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z ,(=]{1,6}",
            "'([a-z\\\\\"`\\[-]|'')*'",
            "\"([a-z\\\\'`\\[-]|\"\")*\"",
            "`([a-z\\\\'\"\\[-]|``)*`",
            "\\[[a-z\\\\'\"`-]*\\]",
            "--[a-z'\"`]*\n",
            "/\\*[a-z'\"`]*\\*/",
        ]
    }

    proptest! {
        #[test]
        fn no_string_is_shown(before in vec(part(), 0..8), quote in "['\"]", cut in any::<bool>()) {
            let end = if cut { "" } else { &*quote };
            let sql = format!("SELECT {} = {quote}s3cret{end}", before.join(" "));
            prop_assert!(!both(&sql).1.contains("s3cret"), "{}", sql);
        }

        #[test]
        fn any_bytes_are_read(sql in vec(any::<u8>(), 0..200)) {
            read(&sql);
        }
    }
}
