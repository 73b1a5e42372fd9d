//! Every kind of record, in one table: decoded and encoded by the same line.

use cargo_beyla_events as records;
use records::{Header, kind};
use zerocopy::FromBytes;

use super::helper::{self, Lost};
use super::kernel::{CopiedStack, Executed, Listen, Open, Operation};
use super::key::Key;
use super::layout::{DecodeError, Layout, RECORD_MAX};
use super::names::{self, StackFrames, TaskType};
use super::parent::{self, Moment, Paused, UnwoundStack};
use super::sqlite::SqliteExecution;
use super::test_run::{self, TestEnded, TestStarted};

/// One record. Times are nanoseconds of `CLOCK_MONOTONIC`.
///
/// Where it holds a structure of the kernel side, kind and size in its header are of no account: the variant says both.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A socket of the process listens.
    Listen(Listen),
    /// The process touched a connection for the first time.
    Open(Open),
    /// Bytes reached a receive queue that already held unread ones.
    Arrival(records::Arrival),
    /// Bytes that a send call moved reached the receive queue of a client on this machine, after its return.
    Delivered(records::Arrival),
    /// A receive call returned.
    Receive(Operation<'a>),
    /// A send call returned.
    Send(Operation<'a>),
    /// One end of a connection closed.
    State(records::State),
    /// The process created an `io_uring`.
    IoUring(Moment),
    /// The process executed its program.
    Exec(Moment),
    /// Something happens to a task of the async runtime.
    Task(records::TaskChange),
    /// A task's table of functions, still to be named.
    Vtable(records::Vtable),
    /// A thread that polls a task, or has received a request, was off the CPU.
    OffCpu(records::OffCpu),
    /// A tick of the sampler met a thread on a CPU that polls a task, or handles a request.
    Sample(records::Sample),
    /// A thread's stack, still to be unwound.
    Stack(CopiedStack<'a>),
    /// The process is about to send on a connection.
    Sending(records::Sending),
    /// A send call found no room in the send buffer.
    SendBlocked(records::Sending),
    /// The process that a connection belongs to.
    Owner(records::Owner),
    /// A task of the async runtime hands it a new one.
    Spawned(records::Spawned),
    /// A process begins.
    Forked(records::Forked),
    /// A process executes a program.
    Executed(Executed<'a>),
    /// A process ends.
    Exited(records::Exited),
    /// A process sets up a key that may be one of TLS.
    Key(Key),
    /// SQLite has executed a statement within the process.
    Sqlite(SqliteExecution<'a>),
    /// What could not be recorded so far.
    Lost(Lost),
    /// Every probe is attached; how bytes are captured.
    Ready(&'a str),
    /// The probe helper failed, with its message.
    Failed(&'a str),
    /// The server is asked to end, so what it closes from here on says nothing of the requests.
    Stopping(Moment),
    /// A thread's stack, in the place of [`Event::Stack`].
    UnwoundStack(UnwoundStack),
    /// The frames of a stack.
    StackFrames(StackFrames<'a>),
    /// The name of a task's type, in the place of [`Event::Vtable`].
    TaskType(TaskType<'a>),
    /// The run is one with `--explain=always`; what that cannot see, if anything. Comes before the process begins.
    Explained(&'a str),
    /// The run is one with `--explain=auto`, as [`Event::Explained`].
    AutoExplained(&'a str),
    /// With [`Event::AutoExplained`]: every poll of every task that begins from here on is recorded.
    WindowOpened(Moment),
    /// None is, from here on.
    WindowClosed(Moment),
    /// Why tasks that other tasks spawn are not seen, or not all of them. Comes before the process begins.
    SpawnsUnseen(&'a str),
    /// Which calls within the process are not seen, and why, in a sentence. Comes before the process begins.
    CallsUnseen(&'a str),
    /// A test begins.
    TestStarted(TestStarted<'a>),
    /// A test ended.
    TestEnded(TestEnded<'a>),
    /// Everything that is traced was stopped for a while, as by ^Z.
    Paused(Paused),
    /// A record of a kind that this version does not know.
    Unknown(&'a [u8]),
}

macro_rules! table {
    ($($kind:path => $event:ident,)*) => {
        pub(super) const KINDS: &[u16] = &[$($kind),*];

        impl<'a> Event<'a> {
            fn read(kind: u16, record: &'a [u8]) -> Result<Self, DecodeError> {
                Ok(match kind {
                    $($kind => Self::$event(Layout::read(record)?),)*
                    _ => Self::Unknown(record),
                })
            }

            /// Appends the event's record. Texts that are too long for a record are cut.
            pub fn encode(&self, records: &mut Vec<u8>) {
                match self {
                    $(Self::$event(event) => event.write($kind, records),)*
                    Self::Unknown(record) => records.extend_from_slice(record),
                }
            }
        }
    };
}

table! {
    kind::LISTEN => Listen,
    kind::OPEN => Open,
    kind::ARRIVAL => Arrival,
    kind::DELIVERED => Delivered,
    kind::RECEIVE => Receive,
    kind::SEND => Send,
    kind::STATE => State,
    kind::IO_URING => IoUring,
    kind::EXEC => Exec,
    kind::TASK => Task,
    kind::VTABLE => Vtable,
    kind::OFF_CPU => OffCpu,
    kind::SAMPLE => Sample,
    kind::STACK => Stack,
    kind::SENDING => Sending,
    kind::SEND_BLOCKED => SendBlocked,
    kind::OWNER => Owner,
    kind::SPAWNED => Spawned,
    kind::FORKED => Forked,
    kind::EXECUTED => Executed,
    kind::EXITED => Exited,
    kind::KEY => Key,
    kind::SQLITE => Sqlite,
    helper::LOST => Lost,
    helper::READY => Ready,
    helper::FAILED => Failed,
    helper::WINDOW_OPENED => WindowOpened,
    helper::WINDOW_CLOSED => WindowClosed,
    parent::STOPPING => Stopping,
    parent::UNWOUND_STACK => UnwoundStack,
    names::STACK_FRAMES => StackFrames,
    names::TASK_TYPE => TaskType,
    parent::EXPLAINED => Explained,
    parent::AUTO_EXPLAINED => AutoExplained,
    parent::SPAWNS_UNSEEN => SpawnsUnseen,
    parent::CALLS_UNSEEN => CallsUnseen,
    test_run::TEST_STARTED => TestStarted,
    test_run::TEST_ENDED => TestEnded,
    parent::PAUSED => Paused,
}

/// How many lines of the table are for a kind.
const fn lines_for(kind: u16) -> usize {
    let (mut index, mut lines) = (0, 0);
    while index < KINDS.len() {
        lines += (KINDS[index] == kind) as usize;
        index += 1;
    }
    lines
}

const fn has_one_line_for_each(kinds: &[u16]) -> bool {
    let mut index = 0;
    while index < kinds.len() && lines_for(kinds[index]) == 1 {
        index += 1;
    }
    index == kinds.len()
}

const _: () = assert!(has_one_line_for_each(kind::ALL), "the table lacks a kind that the kernel side writes");
const _: () = assert!(has_one_line_for_each(KINDS), "two lines of the table are for the same kind");

impl<'a> Event<'a> {
    /// Decodes the record at the beginning of `bytes`: the event and the number of bytes that it took, or `None` if the
    /// record is not whole yet.
    ///
    /// Recordings come from elsewhere, so every size is checked and bounded. What is captured is lent out, not copied.
    ///
    /// # Errors
    /// If no such record can be.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let Ok((header, _)) = Header::read_from_prefix(bytes) else {
            return Ok(None);
        };
        let size = header.size as usize;
        if !(size_of::<Header>()..=RECORD_MAX).contains(&size) {
            return Err(DecodeError::Size { kind: header.kind, size: header.size });
        }
        let Some(record) = bytes.get(..size) else {
            return Ok(None);
        };
        Ok(Some((Self::read(header.kind, record)?, size)))
    }

    /// The event's record.
    pub fn to_record(&self) -> Vec<u8> {
        let mut record = Vec::new();
        self.encode(&mut record);
        record
    }
}
