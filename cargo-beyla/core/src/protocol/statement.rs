//! SQL -> what may be shown of it: a text without literals, and a summary that many statements share.
//!
//! No tokenizer from a crate serves here. A statement may be cut anywhere, and where such a tokenizer reports an error,
//! this one must say what of the text is safe. It goes by the lexical rules of the database: see [`Dialect`]. Where bytes
//! can be read in two ways, such as `\'` in a plain string, the rest of the statement is left out.

mod lexer;
mod summary;
mod text;

use std::sync::Arc;

use lexer::Lexer;

/// Of a longer statement only the beginning is read, in bytes.
pub const STATEMENT_MAX: usize = 8 * 1024;

/// Whose lexical rules a statement follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Those of PostgreSQL: its manual, section 4.1.
    Postgresql,
    /// Those of MySQL and MariaDB: MySQL's manual, chapter "Language Structure".
    Mysql {
        /// Whether `\` escapes the next character of a string, which is a setting of the server; `None` if that is not
        /// known.
        has_escapes: Option<bool>,
    },
}

/// A statement without its literals and comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Operations and their targets, in the order in which they stand: `SELECT users`. This is `db.query.summary` of
    /// OpenTelemetry's conventions for databases.
    pub summary: Arc<str>,
    /// The statement with `?` in the place of its literals. What is longer than some 2,000 bytes is cut.
    pub text: Arc<str>,
}

impl Statement {
    /// Reads a statement of PostgreSQL, or several with `;` between them. The bytes may be the beginning of one.
    pub fn read(sql: &[u8]) -> Self {
        Self::read_as(Dialect::Postgresql, sql)
    }

    /// The same by the rules of another database.
    pub fn read_as(dialect: Dialect, sql: &[u8]) -> Self {
        let lexer = Lexer::new(dialect, &sql[..sql.len().min(STATEMENT_MAX)]);
        Self { summary: summary::summary(lexer.clone()).into(), text: text::text(lexer).into() }
    }
}

#[cfg(test)]
mod tests;
