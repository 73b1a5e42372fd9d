//! What `cargo beyla test` writes of its tests.

use cargo_beyla_events::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{DecodeError, Layout, append_text, split_text, structures};
use crate::model::test::{TestId, TestResult};

/// [`StartedRecord`] and a text in UTF-8: the test's binary, a line feed, and its name.
pub(super) const TEST_STARTED: u16 = 108;
/// [`EndedRecord`] and a text in UTF-8: the reason.
pub(super) const TEST_ENDED: u16 = 109;

/// A test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestStarted<'a> {
    /// When.
    pub time_ns: u64,
    /// Counts from 0 in the order in which tests began.
    pub test: TestId,
    /// Its process, as in [`super::Executed::pid`].
    pub pid: u32,
    /// Which repetition of the run it belongs to, from 0.
    pub round: u32,
    /// The test binary, as cargo names it.
    pub binary: &'a str,
    /// The test's name within it.
    pub name: &'a str,
}

/// [`TestStarted`], as it stands in a record.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct StartedRecord {
    header: Header,
    test: u32,
    pid: u32,
    round: u32,
    reserved: u32,
}

structures!(StartedRecord, EndedRecord);

impl<'a> Layout<'a> for TestStarted<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (StartedRecord { header, test, pid, round, .. }, text) = split_text(record)?;
        let (binary, name) = text.split_once('\n').unwrap_or_default();
        Ok(Self { time_ns: header.time_ns, test: TestId(test), pid, round, binary, name })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let Self { time_ns, test: TestId(test), pid, round, binary, name } = *self;
        let header = Header { time_ns, ..Header::default() };
        let started = StartedRecord { header, test, pid, round, reserved: 0 };
        append_text(records, kind, started, &format!("{binary}\n{name}"));
    }
}

/// A test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestEnded<'a> {
    /// When.
    pub time_ns: u64,
    /// As in [`TestStarted`].
    pub test: TestId,
    /// How; `None` if this version does not know it.
    pub result: Option<TestResult>,
    /// Why it failed, where `result` does not say it; else empty.
    pub reason: &'a str,
}

/// [`TestEnded`], as it stands in a record.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct EndedRecord {
    header: Header,
    test: u32,
    /// One of [`PASSED`] and the others.
    result: u32,
    /// The exit code, or the number of the signal.
    code: i32,
    reserved: u32,
}

const PASSED: u32 = 1;
const FAILED: u32 = 2;
const KILLED: u32 = 3;
const TIMED_OUT: u32 = 4;
const UNLISTED: u32 = 5;

impl<'a> Layout<'a> for TestEnded<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (EndedRecord { header, test, result, code, .. }, reason) = split_text(record)?;
        let result = match result {
            PASSED => Some(TestResult::Passed),
            FAILED => Some(TestResult::Failed(code)),
            KILLED => Some(TestResult::Killed(code)),
            TIMED_OUT => Some(TestResult::TimedOut),
            UNLISTED => Some(TestResult::Unlisted),
            _ => None,
        };
        Ok(Self { time_ns: header.time_ns, test: TestId(test), result, reason })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let (result, code) = match self.result {
            None => (0, 0),
            Some(TestResult::Passed) => (PASSED, 0),
            Some(TestResult::Failed(code)) => (FAILED, code),
            Some(TestResult::Killed(signal)) => (KILLED, signal),
            Some(TestResult::TimedOut) => (TIMED_OUT, 0),
            Some(TestResult::Unlisted) => (UNLISTED, 0),
        };
        let header = Header { time_ns: self.time_ns, ..Header::default() };
        let ended = EndedRecord { header, test: self.test.0, result, code, reserved: 0 };
        append_text(records, kind, ended, self.reason);
    }
}
