//! `--explain`: addresses become names while the process and its executable are still there.

use std::collections::HashMap;

use crate::config::explain::Explain;
use crate::symbols::resolver::Symbols;
use cargo_beyla_core::event::{Event, StackFrames, TaskType};

/// The processes that are known at a time.
const PROCESSES_MAX: usize = 64 * 1024;

/// Replaces records that hold addresses by records that hold names, which a reader elsewhere needs.
pub(crate) struct Symbolization {
    symbols: Symbols,
    /// The process that starts the others; `None` if that is not traced itself.
    process: Option<u32>,
    /// Process ids of the other processes as this process sees them, by the numbers that records use.
    processes: HashMap<u32, u32>,
    explain: Explain,
    /// What cannot be seen, in sentences.
    unseen: String,
}

impl Symbolization {
    pub(crate) fn new(symbols: Symbols, process: Option<u32>, explain: Explain, unseen: &[String]) -> Self {
        Self { symbols, process, processes: HashMap::new(), explain, unseen: unseen.join("; ") }
    }

    /// The event that says that the run is one with `--explain`.
    pub(crate) fn beginning(&self) -> Event<'_> {
        match self.explain {
            Explain::Auto => Event::AutoExplained(&self.unseen),
            Explain::Always | Explain::Never => Event::Explained(&self.unseen),
        }
    }

    /// Hands an event to `take`, or others in the place of those that only this machine can read.
    pub(crate) fn translate(&mut self, event: &Event<'_>, mut take: impl FnMut(&Event<'_>)) {
        match event {
            Event::Stack(stack) => {
                let unwound = self.symbols.unwind(self.number(stack.registers.process), stack);
                take(&Event::UnwoundStack(unwound));
            }
            Event::Vtable(vtable) => self.symbols.add_task_type(self.number(vtable.process), vtable),
            Event::Forked(forked) => {
                // Until a record brings its own process id: it has mapped the same files as its parent.
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

    /// Hands the names of all stacks and tasks that were seen to `take`.
    pub(crate) fn finish(mut self, mut take: impl FnMut(&Event<'_>)) {
        for (stack, frames) in self.symbols.take_stacks() {
            take(&Event::StackFrames(StackFrames { stack, frames: frames.into() }));
        }
        for (vtable, name) in self.symbols.take_task_types() {
            take(&Event::TaskType(TaskType { vtable, name: &name }));
        }
    }
}
