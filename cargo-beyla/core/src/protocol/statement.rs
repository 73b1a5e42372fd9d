//! SQL -> what may be shown of it: a text without literals, and a summary that many statements share.
//!
//! No tokenizer from a crate serves here. A statement may be cut anywhere, and where such a tokenizer reports an error,
//! this one must say what of the text is safe. It goes by the lexical rules of PostgreSQL (its manual, section 4.1).
//! Where bytes can be read in two ways, such as `\'` in a plain string, the rest of the statement is left out.

mod lexer;
mod summary;
mod text;

use std::sync::Arc;

/// Of a longer statement only the beginning is read, in bytes.
pub const STATEMENT_MAX: usize = 8 * 1024;

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
    /// Reads a statement, or several with `;` between them. The bytes may be the beginning of one.
    pub fn read(sql: &[u8]) -> Self {
        let sql = &sql[..sql.len().min(STATEMENT_MAX)];
        Self { summary: summary::summary(sql).into(), text: text::text(sql).into() }
    }
}

#[cfg(test)]
mod tests;
