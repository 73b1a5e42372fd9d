//! Stacks -> places in the user's code: which of a stack's frames a reader looks for, and which stacks are one place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::explanation::{Cause, Explanation, Place, Wait};
use crate::model::finding::Finding;
use crate::model::request::Request;
use crate::model::stack::{Frame, Whose};
use crate::model::test::TestId;

/// The frames of each stack, by its number.
pub(super) type Stacks = BTreeMap<u32, Vec<Frame>>;

/// The frames of a stack by which a reader finds the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landmarks<'a> {
    /// The innermost function of the workspace; where the stack has none, the innermost function that belongs neither
    /// to the standard library nor to the C library.
    pub function: Option<&'a Frame>,
    /// The function that `function` called. If `function` does not belong to the workspace, this is the innermost
    /// function with a name.
    pub call: Option<&'a Frame>,
}

impl<'a> Landmarks<'a> {
    /// Finds them in a stack; the innermost frame comes first.
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

/// The place in the code to which a stack leads. Stacks with an equal site are one place to the user.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum CodeSite<'a> {
    /// A function (see [`Landmarks::function`]) and its source file and line. Samples of one function are one place
    /// whatever their line, which is 0 then.
    Function(&'a str, Option<(&'a str, u32)>),
    /// The thread computed, and no frame belongs to the workspace.
    Foreign,
    /// No frame leads to a function: each such stack is a place of its own.
    Stack(u32),
}

impl<'a> CodeSite<'a> {
    pub(super) fn of(cause: Cause, stack: u32, stacks: &'a Stacks) -> Self {
        match Landmarks::of(frames_of(stack, stacks)).function {
            Some(frame) if frame.is_own() || cause != Cause::Running => {
                let line = |line: u32| if cause == Cause::Running { 0 } else { line };
                let source = frame.source.as_ref().map(|(file, number)| (&**file, line(*number)));
                Self::Function(&frame.function, source)
            }
            _ if cause == Cause::Running => Self::Foreign,
            _ => Self::Stack(stack),
        }
    }
}

/// Whether the code says that it blocks, so that another thread has taken over the worker's tasks: tokio's
/// `block_in_place`.
pub(super) fn is_block_in_place(stack: u32, stacks: &Stacks) -> bool {
    frames_of(stack, stacks).iter().any(|frame| frame.function.contains("block_in_place"))
}

fn frames_of(stack: u32, stacks: &Stacks) -> &[Frame] {
    stacks.get(&stack).map_or(&[][..], Vec::as_slice)
}

/// Merges the places of a request that are one place to the user; each keeps the stack that took the most time. The other
/// stacks of its own places stay in [`Explanation::by_stack`].
pub(super) fn merge(request: &mut Arc<Request>, stacks: &Stacks) {
    let several = |explanation: &Explanation| explanation.places.len() > 1 || !explanation.waits.is_empty();
    if !request.explanation.as_deref().is_some_and(several) {
        return;
    }
    if let Some(explanation) = &mut Arc::make_mut(request).explanation {
        let Explanation { places, by_stack, waits, .. } = Arc::make_mut(explanation);
        let apart = places.clone();
        merge_places(places, stacks);
        if places.len() < apart.len() {
            *by_stack = apart;
        }
        merge_waits(waits, stacks);
    }
}

/// The tests with a request, among these, that met the finding in the place where it was found.
pub(super) fn tests_of(finding: &Finding, requests: &[Arc<Request>], stacks: &Stacks) -> Vec<TestId> {
    let (Some((method, route)), Some(found)) = (&finding.route, &finding.place) else { return Vec::new() };
    let site = CodeSite::of(found.cause, found.stack, stacks);
    let has_met = |request: &&Arc<Request>| {
        let places = request.explanation.iter().flat_map(|explanation| &explanation.places);
        request.method == *method
            && request.route == *route
            && places
                .clone()
                .any(|place| place.cause == found.cause && CodeSite::of(place.cause, place.stack, stacks) == site)
    };
    let tests: BTreeSet<TestId> =
        requests.iter().filter(has_met).filter_map(|request| request.connection.owner?.test).collect();
    tests.into_iter().collect()
}

fn merge_waits(waits: &mut [Wait], stacks: &Stacks) {
    for wait in waits {
        merge_places(&mut wait.places, stacks);
        merge_waits(&mut wait.waits, stacks);
    }
}

fn merge_places(places: &mut Vec<Place>, stacks: &Stacks) {
    // The longest comes first, so that the others are added to it.
    places.sort_by_key(|place| (std::cmp::Reverse(place.ns), place.cause, place.stack));
    let mut merged: Vec<Place> = Vec::with_capacity(places.len());
    for place in places.drain(..) {
        let site = CodeSite::of(place.cause, place.stack, stacks);
        let same =
            |other: &&mut Place| other.cause == place.cause && CodeSite::of(other.cause, other.stack, stacks) == site;
        match merged.iter_mut().find(same) {
            Some(other) => {
                other.ns = other.ns.saturating_add(place.ns);
                other.count = other.count.saturating_add(place.count);
            }
            None => merged.push(place),
        }
    }
    merged.sort_by_key(|place| (std::cmp::Reverse(place.ns), place.cause, place.stack));
    *places = merged;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::explanation::{Parts, Tier, Unit};
    use crate::model::system_call::SystemCall;

    fn frame(function: &str, line: u32, own: bool) -> Frame {
        let whose = if own { Whose::Workspace } else { Whose::System };
        Frame { function: function.into(), source: Some(("src/main.rs".into(), line)), whose }
    }

    #[test]
    fn samples_of_one_function_and_sleeps_at_one_line_are_one_place() {
        let stacks = BTreeMap::from([
            (1, vec![frame("spin_loop", 9, false), frame("app::spin", 3, true)]),
            (2, vec![frame("now", 8, false), frame("app::spin", 4, true)]),
            (3, vec![frame("sleep", 7, false), frame("app::spin", 4, true)]),
            (4, vec![frame("sleep", 7, false), frame("app::spin", 5, true)]),
        ]);
        let place = |cause, stack, ns| Place { cause, stack, ns, count: 1 };
        let sleep = Cause::SystemCall(SystemCall::here(230));
        let mut places = vec![
            place(Cause::Running, 1, 10),
            place(sleep, 3, 15),
            place(Cause::Running, 2, 20),
            place(sleep, 4, 5),
            place(sleep, 3, 1),
            place(sleep, 0, 2),
        ];
        merge_places(&mut places, &stacks);
        assert_eq!(
            places,
            [
                Place { count: 2, ..place(Cause::Running, 2, 30) },
                Place { count: 2, ..place(sleep, 3, 16) },
                place(sleep, 4, 5),
                place(sleep, 0, 2),
            ]
        );
    }

    #[test]
    fn what_is_one_place_stays_apart_by_stack() {
        let stacks = BTreeMap::from([
            (1, vec![frame("spin_loop", 9, false), frame("app::spin", 3, true)]),
            (2, vec![frame("now", 8, false), frame("app::spin", 4, true)]),
            (3, vec![frame("now", 8, false), frame("app::other", 4, true)]),
        ]);
        let place = |stack, ns| Place { cause: Cause::Running, stack, ns, count: 1 };
        let merged = |places: Vec<Place>| {
            let explanation = Explanation {
                tier: Tier::Probed,
                unit: Unit::Task,
                parts: Parts::default(),
                respond: None,
                places,
                by_stack: Vec::new(),
                waits: Vec::new(),
                calls: Vec::new(),
                delays: Vec::new(),
            };
            let request = Request { explanation: Some(Arc::new(explanation)), ..crate::fixtures::request(1, "/") };
            let mut request = Arc::new(request);
            merge(&mut request, &stacks);
            let Explanation { places, by_stack, .. } = &**request.explanation.as_ref().expect("it is opened");
            (places.clone(), by_stack.clone())
        };
        let (places, by_stack) = merged(vec![place(2, 20), place(1, 10), place(3, 5)]);
        assert_eq!(places, [Place { count: 2, ..place(2, 30) }, place(3, 5)]);
        assert_eq!(by_stack, [place(2, 20), place(1, 10), place(3, 5)]);
        let (places, by_stack) = merged(vec![place(2, 20), place(3, 5)]);
        assert_eq!((places.len(), by_stack), (2, Vec::new()), "each has one stack");
    }

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
}
