//! The records of `--explain`. They take no time themselves: see [`Tape::pause`].

use cargo_beyla_events::{self as records, NO_SYSTEM_CALL, kind, stack, task};

use super::Tape;

impl Tape {
    /// A tape of a run with `--explain`, with connection 1 open.
    pub(crate) fn explained() -> Self {
        let mut tape = Self::new();
        tape.explain().open(1);
        tape
    }

    /// From here on the run is one with `--explain`.
    pub(crate) fn explain(&mut self) -> &mut Self {
        self.explained = true;
        self.text(kind::EXPLAINED, None, "")
    }

    /// What follows happens on this thread.
    pub(crate) fn on(&mut self, thread: u32) -> &mut Self {
        self.thread = thread;
        self
    }

    /// Time goes by, in nanoseconds.
    pub(crate) fn pause(&mut self, ns: u64) -> &mut Self {
        self.now += ns;
        self
    }

    pub(crate) fn task(&mut self, change: u16, task: u64, vtable: u64) -> &mut Self {
        let mut header = self.header::<records::TaskChange>(kind::TASK, 0, b"");
        header.flags = change;
        let record = records::TaskChange { header, task, vtable, thread: self.thread, process: 0 };
        self.push(&record, b"")
    }

    /// The thread begins to poll a task, whose type is that of all tasks in the same hundred.
    pub(crate) fn running(&mut self, task: u64) -> &mut Self {
        self.task(task::RUNNING, task, 1000 + task / 100)
    }

    pub(crate) fn idle(&mut self, task: u64) -> &mut Self {
        self.task(task::IDLE, task, 0)
    }

    pub(crate) fn terminal(&mut self, task: u64) -> &mut Self {
        self.task(task::TERMINAL, task, 0)
    }

    pub(crate) fn woken(&mut self, task: u64) -> &mut Self {
        self.task(task::WOKEN, task, 0)
    }

    /// The task gives way in the poll that goes on.
    pub(crate) fn deferred(&mut self, task: u64) -> &mut Self {
        self.task(task::DEFERRED, task, 0)
    }

    pub(crate) fn spawned(&mut self, task: u64) -> &mut Self {
        self.task(task::SPAWNED, task, 0)
    }

    pub(crate) fn spawned_blocking(&mut self, task: u64) -> &mut Self {
        self.task(task::SPAWNED_BLOCKING, task, 0)
    }

    /// The thread sleeps for `ns` and is back on a CPU after `runnable` more.
    pub(crate) fn sleep(&mut self, system_call: i32, ns: u64, runnable: u64) -> &mut Self {
        let begin = self.now;
        self.now += ns + runnable;
        self.off_cpu(begin, begin + ns, system_call)
    }

    /// The thread has to leave its CPU to others for `ns`.
    pub(crate) fn preempted(&mut self, ns: u64) -> &mut Self {
        let begin = self.now;
        self.now += ns;
        self.off_cpu(begin, begin, NO_SYSTEM_CALL)
    }

    pub(crate) fn off_cpu(&mut self, begin_ns: u64, woken_ns: u64, system_call: i32) -> &mut Self {
        let header = self.header::<records::OffCpu>(kind::OFF_CPU, 0, b"");
        self.push(&records::OffCpu { header, begin_ns, woken_ns, thread: self.thread, system_call }, b"")
    }

    /// The stack of the sleep that begins now.
    pub(crate) fn falls_asleep(&mut self, stack: u32, lock: bool) -> &mut Self {
        self.unwound(stack::SLEEP, stack, lock)
    }

    /// The sampler meets the thread on a CPU.
    pub(crate) fn sample(&mut self, stack: u32) -> &mut Self {
        self.unwound(stack::SAMPLE, stack, false)
    }

    pub(crate) fn unwound(&mut self, flags: u16, stack: u32, lock: bool) -> &mut Self {
        let mut header = self.header::<records::UnwoundStack>(kind::UNWOUND_STACK, 0, b"");
        header.flags = flags;
        let record = records::UnwoundStack { header, thread: self.thread, stack, lock: u32::from(lock), reserved: 0 };
        self.push(&record, b"")
    }

    /// A send call begins, and nothing is told of its end.
    pub(crate) fn sending(&mut self, connection: u64) -> &mut Self {
        self.send_call(kind::SENDING, connection, self.now)
    }

    pub(crate) fn send_blocked(&mut self, connection: u64) -> &mut Self {
        self.send_call(kind::SEND_BLOCKED, connection, self.now)
    }

    pub(super) fn send_call(&mut self, kind: u16, connection: u64, time_ns: u64) -> &mut Self {
        let mut header = self.header::<records::Sending>(kind, connection, b"");
        header.time_ns = time_ns;
        let record = records::Sending { header, thread: self.thread, reserved: 0 };
        self.push(&record, b"")
    }

    /// Frames as `own function file line`, one a line.
    pub(crate) fn stack_frames(&mut self, stack: u32, frames: &str) -> &mut Self {
        self.text(kind::STACK_FRAMES, Some(stack.into()), &frames.replace(' ', "\t"))
    }

    pub(crate) fn task_type(&mut self, vtable: u64, name: &str) -> &mut Self {
        self.text(kind::TASK_TYPE, Some(vtable), name)
    }

    fn text(&mut self, kind: u16, of: Option<u64>, text: &str) -> &mut Self {
        if let Some(of) = of {
            let header = self.header::<records::Name>(kind, 0, text.as_bytes());
            return self.push(&records::Name { header, of }, text.as_bytes());
        }
        let header = self.header::<records::Header>(kind, 0, text.as_bytes());
        self.push(&header, text.as_bytes())
    }
}
