//! The texts that come with the events: the frames of stacks, the names of types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::explanation::{Awaited, Delay, Frame, Holder, Place, Wait};
use crate::model::finding::Finding;
use crate::model::request::Request;
use crate::model::summary::Explained;

/// The stacks, and the types, that are kept.
const EACH_MAX: usize = 16 * 1024;

/// The frames of one stack that are kept.
const FRAMES_MAX: usize = 256;

/// The text that is kept of all stacks and types, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Texts {
    stacks: BTreeMap<u32, Vec<Frame>>,
    types: BTreeMap<u64, Arc<str>>,
    unseen: String,
    bytes: usize,
}

impl Texts {
    pub(super) fn unseen(&mut self, unseen: &str) {
        if self.unseen.is_empty() {
            unseen.clone_into(&mut self.unseen);
        }
    }

    pub(super) fn frames(&mut self, stack: u32, frames: &[Frame]) {
        let frames = &frames[..frames.len().min(FRAMES_MAX)];
        let text = |frame: &Frame| frame.function.len() + frame.source.as_ref().map_or(0, |(file, _)| file.len());
        let known = stack == 0 || self.stacks.contains_key(&stack);
        if !known && self.stacks.len() < EACH_MAX && self.fits(frames.iter().map(text).sum()) {
            self.stacks.insert(stack, frames.to_vec());
        }
    }

    pub(super) fn task_type(&mut self, vtable: u64, name: &str) {
        if self.types.len() < EACH_MAX && !self.types.contains_key(&vtable) && self.fits(name.len()) {
            self.types.insert(vtable, name.into());
        }
    }

    fn fits(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= BYTES_MAX
    }

    pub(super) fn stacks(&self) -> &BTreeMap<u32, Vec<Frame>> {
        &self.stacks
    }

    /// With those of the texts to which the findings and the requests refer.
    pub(super) fn explained(
        mut self,
        findings: Vec<Finding>,
        requests_not_opened: u64,
        requests: &[Arc<Request>],
    ) -> Explained {
        let mut used = Used::default();
        used.places(findings.iter().filter_map(|finding| finding.place.as_ref()));
        for explanation in requests.iter().filter_map(|request| request.explanation.as_deref()) {
            used.places(&explanation.places);
            used.waits(&explanation.waits);
            used.delays(&explanation.delays);
        }
        self.stacks.retain(|stack, _| used.stacks.contains(stack));
        self.types.retain(|vtable, _| used.vtables.contains(vtable));
        Explained { findings, unseen: self.unseen, requests_not_opened, stacks: self.stacks, task_types: self.types }
    }
}

/// What is referred to.
#[derive(Default)]
struct Used {
    stacks: BTreeSet<u32>,
    vtables: BTreeSet<u64>,
}

impl Used {
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
    use crate::model::explanation::Whose;

    #[test]
    fn texts_are_bounded() {
        let mut texts = Texts::default();
        let frames = vec![Frame { function: "f".into(), source: None, whose: Whose::Workspace }; 2 * FRAMES_MAX];
        texts.frames(0, &frames);
        texts.frames(1, &frames);
        assert_eq!((texts.stacks.len(), texts.stacks[&1].len()), (1, FRAMES_MAX));
        for n in 0..2 * EACH_MAX as u32 {
            texts.frames(n, &frames[..1]);
            texts.task_type(n.into(), "name");
        }
        assert_eq!((texts.stacks.len(), texts.types.len()), (EACH_MAX, EACH_MAX));
        let mut texts = Texts::default();
        let long = "x".repeat(BYTES_MAX / 8 + 1);
        for vtable in 0..9 {
            texts.task_type(vtable, &long);
        }
        assert_eq!(texts.types.len(), 7);
        texts.unseen("first");
        texts.unseen("second");
        assert_eq!(texts.explained(Vec::new(), 0, &[]).unseen, "first");
    }
}
