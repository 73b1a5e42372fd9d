//! The result codes of SQLite by their names, as `<sqlite3.h>` has them.

/// `SQLITE_OK`
const OK: i32 = 0;
/// `SQLITE_ROW`: a step has a row.
pub(super) const ROW: i32 = 100;
/// `SQLITE_DONE`: a step has come to the end.
pub(super) const DONE: i32 = 101;

/// The codes of errors: the first byte says what went wrong.
const PRIMARY: [&str; 28] = [
    "SQLITE_ERROR",
    "SQLITE_INTERNAL",
    "SQLITE_PERM",
    "SQLITE_ABORT",
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_NOMEM",
    "SQLITE_READONLY",
    "SQLITE_INTERRUPT",
    "SQLITE_IOERR",
    "SQLITE_CORRUPT",
    "SQLITE_NOTFOUND",
    "SQLITE_FULL",
    "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL",
    "SQLITE_EMPTY",
    "SQLITE_SCHEMA",
    "SQLITE_TOOBIG",
    "SQLITE_CONSTRAINT",
    "SQLITE_MISMATCH",
    "SQLITE_MISUSE",
    "SQLITE_NOLFS",
    "SQLITE_AUTH",
    "SQLITE_FORMAT",
    "SQLITE_RANGE",
    "SQLITE_NOTADB",
    "SQLITE_NOTICE",
    "SQLITE_WARNING",
];

/// Those that say more of it and that are worth a name of their own.
const EXTENDED: [(i32, &str); 13] = [
    (261, "SQLITE_BUSY_RECOVERY"),
    (517, "SQLITE_BUSY_SNAPSHOT"),
    (773, "SQLITE_BUSY_TIMEOUT"),
    (262, "SQLITE_LOCKED_SHAREDCACHE"),
    (275, "SQLITE_CONSTRAINT_CHECK"),
    (787, "SQLITE_CONSTRAINT_FOREIGNKEY"),
    (1299, "SQLITE_CONSTRAINT_NOTNULL"),
    (1555, "SQLITE_CONSTRAINT_PRIMARYKEY"),
    (1811, "SQLITE_CONSTRAINT_TRIGGER"),
    (2067, "SQLITE_CONSTRAINT_UNIQUE"),
    (2579, "SQLITE_CONSTRAINT_ROWID"),
    (1032, "SQLITE_READONLY_DBMOVED"),
    (1544, "SQLITE_READONLY_DIRECTORY"),
];

/// The name of an error; `None` of a code that is none, or that no version has.
pub(super) fn error_name(code: i32) -> Option<&'static str> {
    if matches!(code, OK | ROW | DONE) {
        return None;
    }
    let extended = EXTENDED.iter().find(|(known, _)| *known == code).map(|(_, name)| *name);
    extended.or_else(|| PRIMARY.get(usize::try_from(code & 0xFF).ok()?.checked_sub(1)?).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_names() {
        for (code, name) in [
            (OK, None),
            (ROW, None),
            (DONE, None),
            (1, Some("SQLITE_ERROR")),
            (5, Some("SQLITE_BUSY")),
            (19, Some("SQLITE_CONSTRAINT")),
            (2067, Some("SQLITE_CONSTRAINT_UNIQUE")),
            // SQLITE_IOERR_FSYNC
            (1034, Some("SQLITE_IOERR")),
            (28, Some("SQLITE_WARNING")),
            (29, None),
            (-1, None),
        ] {
            assert_eq!(error_name(code), name, "{code}");
        }
    }
}
