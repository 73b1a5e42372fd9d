//! The frames of stacks and the names of task types, as the events bring them; in bounded memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::explanation::{Awaited, Delay, Holder, Place, Wait};
use crate::model::finding::Finding;
use crate::model::request::Request;
use crate::model::stack::Frame;

/// The stacks, and the task types, that are remembered at most.
const ENTRIES_MAX: usize = 16 * 1024;

/// The frames of one stack that are remembered; the outermost go.
const FRAMES_MAX: usize = 256;

/// The memory that all stacks and task types may take together, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The stacks and the task types of a run.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// The frames of each stack, by its number; the innermost frame first.
    pub(crate) stacks: BTreeMap<u32, Vec<Frame>>,
    /// The name of each task type, by the address of its table of functions.
    pub(crate) task_types: BTreeMap<u64, Arc<str>>,
    /// Memory that they take, in bytes.
    bytes: usize,
}

impl Symbols {
    /// Adds the frames of a stack that is not known yet. Stack 0 stands for no stack.
    pub(super) fn add_stack(&mut self, stack: u32, frames: &[Frame]) {
        let frames = &frames[..frames.len().min(FRAMES_MAX)];
        let text = |frame: &Frame| frame.function.len() + frame.source.as_ref().map_or(0, |(file, _)| file.len());
        let known = stack == 0 || self.stacks.contains_key(&stack);
        if !known && self.stacks.len() < ENTRIES_MAX && self.fits(frames.iter().map(text).sum()) {
            self.stacks.insert(stack, frames.to_vec());
        }
    }

    /// Adds the name of a task type that is not known yet.
    pub(super) fn add_task_type(&mut self, vtable: u64, name: &str) {
        if self.task_types.len() < ENTRIES_MAX && !self.task_types.contains_key(&vtable) && self.fits(name.len()) {
            self.task_types.insert(vtable, name.into());
        }
    }

    fn fits(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= BYTES_MAX
    }

    /// Forgets the stacks and task types to which neither the findings nor the requests refer.
    pub(crate) fn retain_referenced(&mut self, findings: &[Finding], requests: &[Arc<Request>]) {
        let mut referenced = Referenced::default();
        referenced.places(findings.iter().filter_map(|finding| finding.place.as_ref()));
        for explanation in requests.iter().filter_map(|request| request.explanation.as_deref()) {
            referenced.places(&explanation.places);
            referenced.places(&explanation.by_stack);
            referenced.waits(&explanation.waits);
            referenced.delays(&explanation.delays);
        }
        self.stacks.retain(|stack, _| referenced.stacks.contains(stack));
        self.task_types.retain(|vtable, _| referenced.vtables.contains(vtable));
    }
}

/// The stacks and task types to which findings and requests refer.
#[derive(Default)]
struct Referenced {
    stacks: BTreeSet<u32>,
    vtables: BTreeSet<u64>,
}

impl Referenced {
    fn places<'a>(&mut self, places: impl IntoIterator<Item = &'a Place>) {
        self.stacks.extend(places.into_iter().map(|place| place.stack));
    }

    fn delays(&mut self, delays: &[Delay]) {
        let tasks =
            delays.iter().filter_map(|delay| if let Holder::Task(vtable) = delay.by { Some(vtable) } else { None });
        self.vtables.extend(tasks);
    }

    fn waits(&mut self, waits: &[Wait]) {
        for wait in waits {
            if let Awaited::Task(vtable) = wait.on {
                self.vtables.insert(vtable);
            }
            self.places(&wait.places);
            self.waits(&wait.waits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stack::Whose;

    #[test]
    fn stacks_and_task_types_are_bounded() {
        let mut symbols = Symbols::default();
        let frames = vec![Frame { function: "f".into(), source: None, whose: Whose::Workspace }; 2 * FRAMES_MAX];
        symbols.add_stack(0, &frames);
        symbols.add_stack(1, &frames);
        assert_eq!((symbols.stacks.len(), symbols.stacks[&1].len()), (1, FRAMES_MAX));
        for n in 0..2 * ENTRIES_MAX as u32 {
            symbols.add_stack(n, &frames[..1]);
            symbols.add_task_type(n.into(), "name");
        }
        assert_eq!((symbols.stacks.len(), symbols.task_types.len()), (ENTRIES_MAX, ENTRIES_MAX));
        let mut symbols = Symbols::default();
        let long = "x".repeat(BYTES_MAX / 8 + 1);
        for vtable in 0..9 {
            symbols.add_task_type(vtable, &long);
        }
        assert_eq!(symbols.task_types.len(), 7);
    }
}
