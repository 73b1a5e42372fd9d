//! Statements that SQLite executes within the process.

use cargo_beyla_events as records;
use records::{Header, SQLITE_CODE_KNOWN, SQLITE_END_UNSEEN, SQLITE_NOT_STEPPED};

use super::layout::{DecodeError, Layout, append, split, structures};

structures!(records::SqliteExecution);

/// SQLite has executed a statement, or `sqlite3_exec` a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteExecution<'a> {
    /// When it began: the first call of `sqlite3_step`, or that of `sqlite3_exec`. In nanoseconds.
    pub begin_ns: u64,
    /// When it was over: the call of `sqlite3_reset` or `sqlite3_finalize`, or the return of `sqlite3_exec`. Without
    /// `is_end_seen`, the last moment at which it was under way.
    pub end_ns: u64,
    /// Whether its end was seen.
    pub is_end_seen: bool,
    /// The process, of several that are traced, by the number that records have for it; 0 is the one that starts the others.
    pub process: u32,
    /// The thread that began it.
    pub thread: u32,
    /// The id of the async task that the thread was polling then; 0 if none is known.
    pub task: u64,
    /// How often `sqlite3_step` was called; `None` of `sqlite3_exec`.
    pub steps: Option<u32>,
    /// What the last step or `sqlite3_exec` returned, as in `<sqlite3.h>`, if that is known.
    pub code: Option<i32>,
    /// The statement as it was prepared, with all of its literals; the beginning of a long one. Empty if it is not known.
    pub text: &'a [u8],
}

impl<'a> Layout<'a> for SqliteExecution<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (execution, text) = split::<records::SqliteExecution>(record)?;
        let records::SqliteExecution { header, begin_ns, task, thread, process, steps, code } = execution;
        let has = |flag: u16| header.flags & flag != 0;
        Ok(Self {
            begin_ns,
            end_ns: header.time_ns,
            is_end_seen: !has(SQLITE_END_UNSEEN),
            process,
            thread,
            task,
            steps: (!has(SQLITE_NOT_STEPPED)).then_some(steps),
            code: has(SQLITE_CODE_KNOWN).then_some(code),
            text: text.split(|&byte| byte == 0).next().unwrap_or_default(),
        })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let flag = |flag: u16, set: bool| if set { flag } else { 0 };
        let flags = flag(SQLITE_END_UNSEEN, !self.is_end_seen)
            | flag(SQLITE_NOT_STEPPED, self.steps.is_none())
            | flag(SQLITE_CODE_KNOWN, self.code.is_some());
        let execution = records::SqliteExecution {
            header: Header { flags, time_ns: self.end_ns, ..Header::default() },
            begin_ns: self.begin_ns,
            task: self.task,
            thread: self.thread,
            process: self.process,
            steps: self.steps.unwrap_or(0),
            code: self.code.unwrap_or(0),
        };
        append(records, kind, execution, self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn it_survives_a_recording() {
        let stepped = SqliteExecution {
            begin_ns: 5,
            end_ns: 9,
            is_end_seen: true,
            process: 0,
            thread: 7,
            task: 3,
            steps: Some(4),
            code: Some(101),
            text: b"SELECT 1",
        };
        let exec = SqliteExecution { is_end_seen: false, steps: None, code: None, text: b"", ..stepped };
        for execution in [stepped, exec] {
            let record = Event::Sqlite(execution).to_record();
            assert_eq!(Event::decode(&record), Ok(Some((Event::Sqlite(execution), record.len()))));
        }
    }

    #[test]
    fn what_follows_the_text_is_no_part_of_it() {
        let mut record = Vec::new();
        append(&mut record, records::kind::SQLITE, records::SqliteExecution::default(), b"COMMIT\0\0\0");
        let decoded = Event::decode(&record).expect("a record");
        assert!(matches!(decoded, Some((Event::Sqlite(SqliteExecution { text: b"COMMIT", .. }), _))), "{decoded:?}");
    }
}
