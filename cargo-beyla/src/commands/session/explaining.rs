//! `--explain`: addresses become names while the process and its executable are at hand.

use std::collections::HashMap;

use cargo_beyla_events::{Header, Name, kind};
use zerocopy::IntoBytes;

use crate::probe::channel::message;
use crate::symbols::resolver::Symbols;
use cargo_beyla_core::event::decode::Event;
use cargo_beyla_core::model::stack::write_frames;

/// The processes that are known at a time.
const PROCESSES_MAX: usize = 64 * 1024;

/// The most text of a record, in bytes.
const TEXT_MAX: usize = 60 * 1024;

/// Puts what records say in addresses into what anybody can read.
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
    pub(super) fn begin(&self, mut take: impl FnMut(&Event<'_>, &[u8])) {
        take(&Event::Explained(&self.unseen), &message(kind::EXPLAINED, &self.unseen));
    }

    /// Shows an event and its record to `take`: others in the place of those that only this run can read.
    pub(super) fn translate(&mut self, event: &Event<'_>, record: &[u8], mut take: impl FnMut(&Event<'_>, &[u8])) {
        match event {
            Event::Stack(stack, copied) => {
                let unwound = self.symbols.unwind(self.number(stack.process), stack, copied);
                take(&Event::UnwoundStack(unwound), unwound.as_bytes());
            }
            Event::Vtable(vtable) => self.symbols.add_task_type(self.number(vtable.process), vtable),
            Event::Forked(forked) => {
                // Until it tells its own number: it has mapped what the other has.
                self.add(forked.child, self.number(forked.parent));
                take(event, record);
            }
            Event::Owner(owner) => {
                self.add(owner.process, owner.pid);
                take(event, record);
            }
            Event::Executed(executed, _) => {
                self.add(executed.process, executed.pid);
                take(event, record);
            }
            Event::Exited(exited) => {
                self.processes.remove(&exited.process);
                take(event, record);
            }
            _ => take(event, record),
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
    pub(super) fn finish(mut self, mut take: impl FnMut(&Event<'_>, &[u8])) {
        for (stack, frames) in self.symbols.take_stacks() {
            let mut frames = write_frames(&frames);
            // Whole lines, the innermost: a record's size is bounded.
            if let Some(end) = frames.get(..frames.floor_char_boundary(TEXT_MAX)).and_then(|text| text.rfind('\n')) {
                frames.truncate(end + 1);
            }
            let event = Event::StackFrames { stack, frames: &frames };
            take(&event, &named(kind::STACK_FRAMES, stack.into(), &frames));
        }
        for (vtable, name) in self.symbols.take_task_types() {
            let event = Event::TaskType { vtable, name: &name };
            take(&event, &named(kind::TASK_TYPE, vtable, &name));
        }
    }
}

fn named(kind: u16, of: u64, text: &str) -> Vec<u8> {
    let size = (size_of::<Name>() + text.len()) as u32;
    let mut record = Name { header: Header { kind, size, ..Header::default() }, of }.as_bytes().to_vec();
    record.extend_from_slice(text.as_bytes());
    record
}
