//! `--explain`: addresses become names while the process and its executable are at hand.

use std::collections::HashMap;

use crate::symbols::resolver::Symbols;
use cargo_beyla_core::event::{Event, StackFrames, TaskType};

/// The processes that are known at a time.
const PROCESSES_MAX: usize = 64 * 1024;

/// Puts what events say in addresses into what anybody can read.
pub(in crate::commands) struct Explaining {
    symbols: Symbols,
    /// The process that starts the others; `None` if that is not traced itself.
    process: Option<u32>,
    /// Process ids of the other processes as this process sees them, by the numbers that records use.
    processes: HashMap<u32, u32>,
    /// What cannot be seen, in sentences.
    unseen: String,
}

impl Explaining {
    pub(in crate::commands) fn new(symbols: Symbols, process: Option<u32>, unseen: &[String]) -> Self {
        Self { symbols, process, processes: HashMap::new(), unseen: unseen.join("; ") }
    }

    /// Shows to `take` that the run is one with `--explain`.
    pub(super) fn begin(&self, mut take: impl FnMut(&Event<'_>)) {
        take(&Event::Explained(&self.unseen));
    }

    /// Shows an event to `take`: another in the place of one that only this run can read.
    pub(super) fn translate(&mut self, event: &Event<'_>, mut take: impl FnMut(&Event<'_>)) {
        match event {
            Event::Stack(stack) => {
                let unwound = self.symbols.unwind(self.number(stack.registers.process), stack);
                take(&Event::UnwoundStack(unwound));
            }
            Event::Vtable(vtable) => self.symbols.add_task_type(self.number(vtable.process), vtable),
            Event::Forked(forked) => {
                // Until it tells its own number: it has mapped what the other has.
                self.add(forked.child, self.number(forked.parent));
                take(event);
            }
            Event::Owner(owner) => {
                self.add(owner.process, owner.pid);
                take(event);
            }
            Event::Executed(executed) => {
                self.add(executed.process, executed.pid);
                take(event);
            }
            Event::Exited(exited) => {
                self.processes.remove(&exited.process);
                take(event);
            }
            _ => take(event),
        }
    }

    /// A process as it is numbered here; 0, which none is, where that is not known.
    fn number(&self, process: u32) -> u32 {
        self.processes.get(&process).copied().or(self.process).unwrap_or(0)
    }

    fn add(&mut self, process: u32, number: u32) {
        if number != 0 && (self.processes.len() < PROCESSES_MAX || self.processes.contains_key(&process)) {
            self.processes.insert(process, number);
        }
    }

    /// Shows the names of all that was met to `take`.
    pub(super) fn finish(mut self, mut take: impl FnMut(&Event<'_>)) {
        for (stack, frames) in self.symbols.take_stacks() {
            take(&Event::StackFrames(StackFrames { stack, frames: frames.into() }));
        }
        for (vtable, name) in self.symbols.take_task_types() {
            take(&Event::TaskType(TaskType { vtable, name: &name }));
        }
    }
}
