//! Answers: how a command has ended.

use super::asked::Asked;
use super::bson::{Element, elements};
use crate::protocol::message::{CommandEnding, ErrorCode};

/// How the command ended, by the document that answers it. What is cut off is an answer that went well: those with errors are
/// short.
pub(super) fn ending(asked: &Asked, document: &[u8]) -> CommandEnding {
    let mut ending = CommandEnding::default();
    let (mut has_failed, mut code, mut write_error) = (false, None, None);
    for element in elements(document) {
        match element.key {
            b"ok" => has_failed = element.number() == Some(0),
            b"code" => code = element.number(),
            b"n" if asked.changes() => ending.rows = element.number().and_then(|count| u64::try_from(count).ok()),
            b"cursor" => ending.rows = documents(&element),
            b"writeErrors" => write_error = first_code(&element),
            _ => {}
        }
    }
    if has_failed {
        ending.error = Some(error(code));
    } else if write_error.is_some() {
        ending.error = Some(error(write_error));
    }
    ending
}

fn error(code: Option<i64>) -> ErrorCode {
    ErrorCode::new(code.map(|code| code.to_string()).unwrap_or_default().as_bytes())
}

/// The documents of a cursor's batch, if all of them are there.
fn documents(cursor: &Element<'_>) -> Option<u64> {
    let batch = elements(cursor.document()?).find(|element| matches!(element.key, b"firstBatch" | b"nextBatch"))?;
    batch.is_whole.then(|| elements(batch.document().unwrap_or_default()).count() as u64)
}

/// The code of the first of several errors.
fn first_code(errors: &Element<'_>) -> Option<i64> {
    let first = elements(errors.document()?).next()?;
    elements(first.document()?).find(|element| element.key == b"code")?.number()
}
