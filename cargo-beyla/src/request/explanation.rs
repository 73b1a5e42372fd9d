//! What `--explain` tells of a request: what its `handle` phase consisted of, and where.

use std::sync::Arc;

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
    /// Polls of other requests' tasks that held up the thread which this request needed: the longest
    /// delay first. They lie within the phases `queue` and, of `handle`, `scheduled`.
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
    /// The stack: see [`super::summary::Explained::stacks`]; 0 where it is not known.
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
    /// It slept in a system call, by the kernel's number of it.
    SystemCall(i32),
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
    /// [`super::summary::Explained::task_types`].
    Task(u64),
}

/// A request that was held up by a poll of another's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Method and route of the other.
    pub by: (Arc<str>, Arc<str>),
    /// How long, in nanoseconds.
    pub ns: u64,
}

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, demangled, without hash; an address where it has no name.
    pub function: Arc<str>,
    /// The source file, relative to the workspace where it is in it, and the line; `None` without debug
    /// information.
    pub source: Option<(Arc<str>, u32)>,
    /// Whether it belongs to the user's workspace.
    pub own: bool,
}

/// One frame a line, its fields divided by tabs: `own` as 1 or 0, function, file, line; the last two are
/// empty where they are not known.
pub fn write_frames(frames: &[Frame]) -> String {
    let mut text = String::new();
    for Frame { function, source, own } in frames {
        let (file, line) = source.as_ref().map_or(("", String::new()), |(file, line)| (file, line.to_string()));
        let clean = |field: &str| field.replace(['\t', '\n'], " ");
        text.extend([if *own { "1" } else { "0" }, "\t", &clean(function), "\t", &clean(file), "\t", &line, "\n"]);
    }
    text
}

/// The reverse of [`write_frames`]; lines that are no frames are left out.
pub fn read_frames(text: &str) -> Vec<Frame> {
    let frame = |line: &str| {
        let mut fields = line.split('\t');
        let (own, function, file, number) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let source = number.parse().ok().map(|number| (file.into(), number));
        Some(Frame { function: function.into(), source, own: own == "1" })
    };
    text.lines().filter_map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_written() {
        let frames = [
            Frame { function: "std::thread::sleep".into(), source: None, own: false },
            Frame { function: "a\tb".into(), source: Some(("src/main.rs".into(), 42)), own: true },
        ];
        let read = read_frames(&write_frames(&frames));
        assert_eq!(read[0], frames[0]);
        assert_eq!(read[1], Frame { function: "a b".into(), ..frames[1].clone() });
        assert!(read_frames("1\tx\n\n\u{0}").is_empty());
    }
}
