//! What `--explain` tells of a request: what its `handle` phase consisted of, and where.

use std::sync::Arc;

use crate::model::system_call::SystemCall;

/// The parts of a `handle` phase, in nanoseconds; they sum to it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// On a CPU, in a poll of the request's task.
    pub running: u64,
    /// In such a poll, and wanting a CPU: the kernel had none.
    pub runnable: u64,
    /// In such a poll, and off the CPU: a blocking call, a lock, a page that had to be read.
    pub blocked: u64,
    /// Woken, and not polled yet: the runtime was busy with others.
    pub scheduled: u64,
    /// Nothing to do: a timer, another task, an outbound call.
    pub waiting: u64,
}

impl Parts {
    /// Name and length of each part, in the order in which reports have them.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("running", self.running),
            ("runnable", self.runnable),
            ("blocked", self.blocked),
            ("scheduled", self.scheduled),
            ("waiting", self.waiting),
        ]
    }

    /// The sum of the parts, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.named().iter().map(|(_, length)| *length).sum()
    }
}

/// What the parts of a request are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The task that received the request.
    Task,
    /// The thread that received it: no task is known.
    Thread,
}

impl Unit {
    /// As it stands in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Thread => "thread",
        }
    }
}

/// The `handle` phase of one request, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was measured.
    pub unit: Unit,
    /// What `handle` consisted of.
    pub parts: Parts,
    /// Where it was blocked, or computed for long: the longest first.
    pub places: Vec<Place>,
    /// The tasks that it waited for: the longest wait first. Each lies within `parts.waiting`.
    pub waits: Vec<Wait>,
    /// Polls of other tasks that held up the thread which this request needed: the longest delay first. They lie within the phases `queue` and, of `handle`, `scheduled`.
    pub delays: Vec<Delay>,
}

impl Explanation {
    /// What it holds in memory, in bytes, more or less.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.places) + size_of_val(&*self.delays) + waits_memory(&self.waits)
    }
}

fn waits_memory(waits: &[Wait]) -> usize {
    let within = |wait: &Wait| size_of_val(&*wait.places) + waits_memory(&wait.waits);
    size_of_val(waits) + waits.iter().map(within).sum::<usize>()
}

/// Time spent in one place of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What was going on.
    pub cause: Cause,
    /// The stack: see [`crate::model::summary::Explained::stacks`]; 0 where it is not known.
    pub stack: u32,
    /// In nanoseconds; of [`Cause::Running`] an estimate, from samples.
    pub ns: u64,
    /// How often.
    pub count: u32,
}

/// Why a thread stood still, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// It computed.
    Running,
    /// It slept in a system call.
    SystemCall(SystemCall),
    /// It waited for a lock.
    Lock,
    /// It waited for a page of memory to be read.
    PageFault,
    /// It slept, and the kernel does not tell where.
    Unknown,
}

impl Cause {
    /// As it stands in reports and in what is exported.
    pub fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::SystemCall(_) => "system-call",
            Self::Lock => "lock",
            Self::PageFault => "page-fault",
            Self::Unknown => "unknown",
        }
    }
}

/// Time spent waiting for another task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which.
    pub on: Awaited,
    /// How long, in nanoseconds.
    pub ns: u64,
    /// How often.
    pub count: u32,
    /// What that task did meanwhile; at most `ns` in sum.
    pub parts: Parts,
    /// What that task waited for in turn.
    pub waits: Vec<Wait>,
    /// Where that task was blocked, or computed for long.
    pub places: Vec<Place>,
}

/// A task that another waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// One of the pool of threads that may block.
    BlockingPool,
    /// An async task, by the address of its table of functions: see
    /// [`crate::model::summary::Explained::task_types`].
    Task(u64),
}

/// A request that was held up by a poll of another task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Whose poll that was.
    pub by: Holder,
    /// How long, in nanoseconds.
    pub ns: u64,
}

/// Who held a request up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The task of another request, by method and route.
    Request((Arc<str>, Arc<str>)),
    /// A task that has received no request, by the address of its table of functions: see
    /// [`crate::model::summary::Explained::task_types`].
    Task(u64),
}

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, demangled, without hash; `file+0x1f` where it has no name.
    pub function: Arc<str>,
    /// The source file, relative to the workspace where it is in it, and the line; `None` without debug
    /// information.
    pub source: Option<(Arc<str>, u32)>,
    /// Whose code it is.
    pub whose: Whose,
}

impl Frame {
    /// Whether it belongs to the user's workspace.
    pub fn is_own(&self) -> bool {
        self.whose == Whose::Workspace
    }

    /// The function's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        let address = self.function.rsplit_once("+0x").map(|(_, address)| address);
        let unnamed = address.is_some_and(|address| u64::from_str_radix(address, 16).is_ok());
        (!unnamed && !self.function.is_empty()).then_some(&*self.function)
    }
}

/// Whose code a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The user's.
    Workspace,
    /// A library's, or unknown.
    Library,
    /// That of Rust's standard library, of the C library, or of the kernel.
    System,
}

/// The frames of a stack by which a reader finds the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landmarks<'a> {
    /// The innermost function of the workspace; where none is on the stack, the innermost that is neither of the
    /// standard library nor of the C library.
    pub function: Option<&'a Frame>,
    /// What that function called; where it is not of the workspace, the innermost function with a name.
    pub call: Option<&'a Frame>,
}

impl<'a> Landmarks<'a> {
    /// Those of a stack, whose innermost frame comes first.
    pub fn of(frames: &'a [Frame]) -> Self {
        if let Some(own) = frames.iter().position(Frame::is_own) {
            let call = own.checked_sub(1).map(|call| &frames[call]).filter(|call| call.name().is_some());
            return Self { function: frames.get(own), call };
        }
        let mut named = frames.iter().filter(|frame| frame.name().is_some()).peekable();
        let innermost = named.peek().copied();
        let function = named.find(|frame| frame.whose != Whose::System);
        Self { function, call: innermost.filter(|_| function != innermost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(frames: &[(Whose, &str)]) -> Vec<Frame> {
        let frame =
            |(whose, function): &(Whose, &str)| Frame { function: (*function).into(), source: None, whose: *whose };
        frames.iter().map(frame).collect()
    }

    #[test]
    fn the_place_is_in_the_workspace_or_as_near_to_it_as_there_are_names() {
        use Whose::{Library, System, Workspace};
        let sleep = [(System, "libc.so.6+0x92e6c"), (System, "libc.so.6+0x92f00"), (System, "clock_nanosleep")];
        let rest =
            [(System, "std::thread::sleep"), (Library, "server+0x1f"), (Library, "shop::pay"), (Library, "h::f")];
        for (stack, function, call) in [
            ([&sleep[..], &rest].concat(), Some("shop::pay"), Some("clock_nanosleep")),
            (
                [&sleep[..], &[(System, "std::thread::sleep"), (Workspace, "shop::pay")]].concat(),
                Some("shop::pay"),
                Some("std::thread::sleep"),
            ),
            // Of a stripped server.
            ([&sleep[..], &[(Library, "server+0x1f")]].concat(), None, Some("clock_nanosleep")),
            (rest[1..].to_vec(), Some("shop::pay"), None),
            (vec![(Library, "server+0x1f"), (Workspace, "shop::pay")], Some("shop::pay"), None),
            (sleep[..2].to_vec(), None, None),
            (vec![(Library, "")], None, None),
            (Vec::new(), None, None),
        ] {
            let stack = frames(&stack);
            let landmarks = Landmarks::of(&stack);
            assert_eq!(
                (landmarks.function.and_then(Frame::name), landmarks.call.and_then(Frame::name)),
                (function, call)
            );
        }
    }

    #[test]
    fn a_file_and_an_address_are_no_name() {
        let name = |function: &str| frames(&[(Whose::Library, function)])[0].name().map(str::to_owned);
        for unnamed in ["libc.so.6+0x92e6c", "server+0x0", "[vdso]+0xfff", ""] {
            assert_eq!(name(unnamed), None);
        }
        for named in ["main", "<a::A as core::ops::Add>::add", "a+0xyz", "operator+", "a+0x"] {
            assert_eq!(name(named).as_deref(), Some(named));
        }
    }
}
