//! The events of `--explain`. They take no time themselves: see [`EventBuilder::pause`].

use cargo_beyla_events::{self as records, Header, NO_SYSTEM_CALL, stack, task};

use super::EventBuilder;
use crate::event::{Event, Moment, StackFrames, TaskType, UnwoundStack};
use crate::model::stack::{Frame, Whose};

/// A frame of the user's own code.
pub(crate) fn own(function: &str, file: &str, line: u32) -> Frame {
    Frame { function: function.into(), source: Some((file.into(), line)), whose: Whose::Workspace }
}

/// A frame of a library, without debug information.
pub(crate) fn library(function: &str) -> Frame {
    Frame { function: function.into(), source: None, whose: Whose::Library }
}

/// A frame of the standard library or of the system, without debug information.
pub(crate) fn system(function: &str) -> Frame {
    Frame { function: function.into(), source: None, whose: Whose::System }
}

impl EventBuilder {
    /// A run with `--explain`, in which connection 1 is open.
    pub(crate) fn explained() -> Self {
        let mut events = Self::new();
        events.explain().open(1);
        events
    }

    /// From here on the run is one with `--explain`.
    pub(crate) fn explain(&mut self) -> &mut Self {
        self.explained = true;
        self.push(&Event::Explained(""))
    }

    /// From here on the run is one with `--explain=auto`.
    pub(crate) fn explain_by_sight(&mut self) -> &mut Self {
        self.sees_polls = true;
        self.push(&Event::AutoExplained(""))
    }

    /// The task that the thread polls, where records tell it.
    fn task_seen(&self) -> u64 {
        if self.sees_polls { self.task } else { 0 }
    }

    /// A tick of the sampler meets the thread on a CPU.
    pub(crate) fn tick(&mut self) -> &mut Self {
        let (header, thread, task) = (self.header(0), self.thread, self.task_seen());
        self.push(&Event::Sample(records::Sample { header, task, thread, process: 0 }))
    }

    pub(crate) fn window_opens(&mut self) -> &mut Self {
        let time_ns = self.now;
        self.push(&Event::WindowOpened(Moment { time_ns }))
    }

    pub(crate) fn window_closes(&mut self) -> &mut Self {
        let time_ns = self.now;
        self.push(&Event::WindowClosed(Moment { time_ns }))
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
        let header = Header { flags: change, ..self.header(0) };
        let id = if self.sees_polls { task } else { 0 };
        self.push(&Event::Task(records::TaskChange { header, task, vtable, thread: self.thread, process: 0, id }))
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

    /// A message is put into the channel whose receiver has this waker.
    pub(crate) fn signalled(&mut self, waker: u64) -> &mut Self {
        self.task(task::SIGNALLED, waker, 0)
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
        let header = self.header(0);
        let (thread, task) = (self.thread, self.task_seen());
        let off = records::OffCpu { header, begin_ns, woken_ns, thread, system_call, task, process: 0, reserved: 0 };
        self.push(&Event::OffCpu(off))
    }

    /// The stack of the sleep that begins now.
    pub(crate) fn falls_asleep(&mut self, stack: u32, lock: bool) -> &mut Self {
        self.unwound(stack::SLEEP, stack, lock)
    }

    /// The sampler meets the thread on a CPU.
    pub(crate) fn sample(&mut self, stack: u32) -> &mut Self {
        self.unwound(stack::SAMPLE, stack, false)
    }

    pub(crate) fn unwound(&mut self, occasion: u16, stack: u32, lock: bool) -> &mut Self {
        let (time_ns, thread, task) = (self.now, self.thread, self.task_seen());
        self.push(&Event::UnwoundStack(UnwoundStack { time_ns, occasion, thread, stack, lock, task, process: 0 }))
    }

    /// A send call begins, and its end is not recorded.
    pub(crate) fn sending(&mut self, connection: u64) -> &mut Self {
        self.sending_at(connection, self.now)
    }

    pub(super) fn sending_at(&mut self, connection: u64, time_ns: u64) -> &mut Self {
        let header = Header { time_ns, ..self.header(connection) };
        self.push(&Event::Sending(records::Sending { header, thread: self.thread, reserved: 0 }))
    }

    pub(crate) fn send_blocked(&mut self, connection: u64) -> &mut Self {
        let header = self.header(connection);
        self.push(&Event::SendBlocked(records::Sending { header, thread: self.thread, reserved: 0 }))
    }

    /// The innermost frame comes first.
    pub(crate) fn stack_frames(&mut self, stack: u32, frames: &[Frame]) -> &mut Self {
        self.push(&Event::StackFrames(StackFrames { stack, frames: frames.into() }))
    }

    pub(crate) fn task_type(&mut self, vtable: u64, name: &str) -> &mut Self {
        self.push(&Event::TaskType(TaskType { vtable, name }))
    }
}
