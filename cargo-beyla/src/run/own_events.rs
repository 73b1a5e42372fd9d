//! The events that this process adds to those of the kernel, and their records.

use cargo_beyla_events::{Header, Name, TestEnded, TestStarted, kind};
use zerocopy::IntoBytes;

use crate::probe::channel::message;
use cargo_beyla_core::analysis::suite::{TestId, TestResult};
use cargo_beyla_core::event::decode::Event;

/// The server was told to end at this moment: what it closes from then on, it closes for that reason.
pub(crate) fn stopping(time_ns: u64) -> Event<'static> {
    Event::Stopping { time_ns }
}

/// A test began as the process `pid`; 0 if it has none.
pub(crate) fn test_started(test: TestId, round: u32, pid: u32, time_ns: u64, [binary, name]: [&str; 2]) -> Event<'_> {
    let size = (size_of::<TestStarted>() + binary.len() + 1 + name.len()) as u32;
    let header = Header { kind: kind::TEST_STARTED, size, time_ns, ..Header::default() };
    Event::TestStarted { started: TestStarted { header, test: test.0, pid, round, reserved: 0 }, binary, name }
}

/// A test ended; `reason` says why it failed, where no exit code and no signal does.
pub(crate) fn test_ended(test: TestId, result: TestResult, time_ns: u64, reason: &str) -> Event<'_> {
    let size = (size_of::<TestEnded>() + reason.len()) as u32;
    let header = Header { kind: kind::TEST_ENDED, size, time_ns, ..Header::default() };
    let (result, code) = result.to_record();
    Event::TestEnded { ended: TestEnded { header, test: test.0, result, code, reserved: 0 }, reason }
}

/// The record of an event that comes from this process; nothing for one of the kernel's, which has its record.
pub(crate) fn encode(event: &Event<'_>) -> Vec<u8> {
    match event {
        Event::Stopping { time_ns } => {
            let size = size_of::<Header>() as u32;
            Header { kind: kind::STOPPING, size, time_ns: *time_ns, ..Header::default() }.as_bytes().to_vec()
        }
        Event::Paused(paused) => paused.as_bytes().to_vec(),
        Event::TestStarted { started, binary, name } => {
            [started.as_bytes(), binary.as_bytes(), b"\n", name.as_bytes()].concat()
        }
        Event::TestEnded { ended, reason } => [ended.as_bytes(), reason.as_bytes()].concat(),
        Event::Explained(unseen) => message(kind::EXPLAINED, unseen),
        Event::UnwoundStack(unwound) => unwound.as_bytes().to_vec(),
        Event::Executed(executed, path) => [executed.as_bytes(), path.as_bytes()].concat(),
        Event::StackFrames { stack, frames } => named(kind::STACK_FRAMES, (*stack).into(), frames),
        Event::TaskType { vtable, name } => named(kind::TASK_TYPE, *vtable, name),
        _ => Vec::new(),
    }
}

fn named(kind: u16, of: u64, text: &str) -> Vec<u8> {
    let size = (size_of::<Name>() + text.len()) as u32;
    [Name { header: Header { kind, size, ..Header::default() }, of }.as_bytes(), text.as_bytes()].concat()
}
