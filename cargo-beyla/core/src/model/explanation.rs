//! What `--explain` says about a request: the parts of its `handle` phase, and where in the code they were spent.

use std::sync::Arc;

use crate::model::call_kind::CallKind;
use crate::model::system_call::SystemCall;

/// The parts of a `handle` phase, in nanoseconds; they sum to it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The request's task was polled, on a CPU.
    pub running: u64,
    /// The task was polled, but all CPUs were busy with others.
    pub runnable: u64,
    /// The task was polled, and its thread slept: in a blocking call, for a lock, for a page that had to be read.
    pub blocked: u64,
    /// The task was woken and not yet polled: the workers were busy with other tasks.
    pub scheduled: u64,
    /// The task waited: for a timer, another task, an outbound call.
    pub waiting: u64,
}

impl Parts {
    /// The name and the length of each part, in the order of reports.
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

    /// Each part together with that of `other`; `None` if that overflows.
    pub(crate) fn checked_add(&self, other: &Self) -> Option<Self> {
        Some(Self {
            running: self.running.checked_add(other.running)?,
            runnable: self.runnable.checked_add(other.runnable)?,
            blocked: self.blocked.checked_add(other.blocked)?,
            scheduled: self.scheduled.checked_add(other.scheduled)?,
            waiting: self.waiting.checked_add(other.waiting)?,
        })
    }
}

/// The parts of a `respond` phase, in nanoseconds; they sum to it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RespondParts {
    /// As in `handle`, of the task that produces and sends the response; [`Self::client`] is not in them.
    pub task: Parts,
    /// The task waited because the client was slow: the send buffer was full or, with HTTP/2, the client's flow-control
    /// window was shut.
    pub client: u64,
}

impl RespondParts {
    /// The name and the length of each part, in the order of reports.
    pub fn named(&self) -> [(&'static str, u64); 6] {
        let [running, runnable, blocked, scheduled, waiting] = self.task.named();
        [running, runnable, blocked, scheduled, waiting, ("client", self.client)]
    }

    /// The sum of the parts, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.task.sum().saturating_add(self.client)
    }
}

/// What the parts of a request are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The task that received the request.
    Task,
    /// The thread that received the request, if no task is known.
    Thread,
}

impl Unit {
    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Thread => "thread",
        }
    }
}

/// How the parts of a request are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// By what the scheduler and the sampler see, which costs the server next to nothing: [`Parts::blocked`] and
    /// [`Parts::runnable`] are exact, [`Parts::running`] is an estimate from samples, and all else is [`Parts::waiting`].
    Seen,
    /// By probes on the async runtime: every part is exact.
    #[default]
    Probed,
}

impl Tier {
    /// Its number in reports.
    pub fn number(self) -> u8 {
        match self {
            Self::Seen => 1,
            Self::Probed => 2,
        }
    }
}

/// What the `handle` phase of one request consisted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// How the parts are known.
    pub tier: Tier,
    /// What was measured.
    pub unit: Unit,
    /// The parts of the phase.
    pub parts: Parts,
    /// The parts of the phase `respond`, if they are known. They are not where no task is known.
    pub respond: Option<RespondParts>,
    /// Where the request was blocked or computed for long: the longest time first.
    pub places: Vec<Place>,
    /// The time of `places` by stack, where one of them was reached by several: a place that is one to the user has the
    /// stack alone that took the most time. Empty where each place has one stack.
    pub by_stack: Vec<Place>,
    /// The tasks that it waited for: the longest wait first. They lie within `parts.waiting`.
    pub waits: Vec<Wait>,
    /// The calls whose answers it waited for: the longest wait first. They lie within `parts.waiting`, and no time counts
    /// for two of them: of calls at the same time, for the one that ended last.
    pub calls: Vec<CallWait>,
    /// The tasks whose polls held up the thread that this request needed: the longest delay first. They lie within the
    /// phase `queue`, and within `parts.scheduled`.
    pub delays: Vec<Delay>,
}

impl Explanation {
    /// The memory that it takes, in bytes, approximately.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.places)
            + size_of_val(&*self.by_stack)
            + size_of_val(&*self.delays)
            + size_of_val(&*self.calls)
            + waits_memory(&self.waits)
    }
}

fn waits_memory(waits: &[Wait]) -> usize {
    let within = |wait: &Wait| size_of_val(&*wait.places) + waits_memory(&wait.waits);
    size_of_val(waits) + waits.iter().map(within).sum::<usize>()
}

/// Time spent in one place of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What happened there.
    pub cause: Cause,
    /// The stack, as in [`crate::model::summary::Explained::stacks`]; 0 if it is not known.
    pub stack: u32,
    /// How long, in nanoseconds. For [`Cause::Running`] this is an estimate from samples.
    pub ns: u64,
    /// How often.
    pub count: u32,
}

/// Why a thread was off the CPU, or that it was on one.
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
    /// It slept, and the kernel does not say in which system call.
    Unknown,
}

impl Cause {
    /// Its name in reports and exports.
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
    /// The task.
    pub on: Awaited,
    /// How long, in nanoseconds.
    pub ns: u64,
    /// How often.
    pub count: u32,
    /// What that task did meanwhile; the parts sum to at most `ns`.
    pub parts: Parts,
    /// The tasks that it waited for in turn.
    pub waits: Vec<Wait>,
    /// Where it was blocked or computed for long.
    pub places: Vec<Place>,
}

/// Time spent waiting for calls that ask for the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallWait {
    /// As [`crate::model::call::Call::kind`].
    pub kind: CallKind,
    /// As [`crate::model::call::Call::summary`].
    pub summary: Arc<str>,
    /// How long, in nanoseconds.
    pub ns: u64,
    /// The number of calls.
    pub count: u32,
}

/// A task that another waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// A task on the pool of threads that may block.
    BlockingPool,
    /// An async task, by the address of its table of functions, as in
    /// [`crate::model::summary::Explained::task_types`].
    Task(u64),
}

/// Time in which polls of another task held a request up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The task that was polled.
    pub by: Holder,
    /// How long, in nanoseconds.
    pub ns: u64,
}

/// The task that held a request up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The task of another request, by method and route.
    Request((Arc<str>, Arc<str>)),
    /// A task that has received no request, by the address of its table of functions, as in
    /// [`crate::model::summary::Explained::task_types`].
    Task(u64),
}
