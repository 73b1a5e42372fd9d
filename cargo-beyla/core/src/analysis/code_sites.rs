//! Stacks that lead to one place of the code, told as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::explanation::{Cause, Explanation, Place, Wait};
use crate::model::finding::Finding;
use crate::model::request::Request;
use crate::model::stack::{Frame, Whose};
use crate::model::test::TestId;

/// The frames of a stack by which a reader finds the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landmarks<'a> {
    /// The innermost function of the workspace; where none is on the stack, the innermost that is neither of the
    /// standard library nor of the C library.
    pub function: Option<&'a Frame>,
    /// What that function called; where it is not of the workspace, the innermost function with a name.
    pub call: Option<&'a Frame>,
}

impl<'a> Landmarks<'a> {
    /// Those of a stack, whose innermost frame comes first.
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

/// Where in the code a stack leads to.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Spot<'a> {
    /// The innermost frame of the user's own, or else the one nearest to it (see [`Landmarks`]); of one that
    /// computes, its function.
    Function(&'a str, Option<(&'a str, u32)>),
    /// One that computes, in code of others.
    Foreign,
    /// No frame leads to a function.
    Stack(u32),
}

impl<'a> Spot<'a> {
    pub(crate) fn of(cause: Cause, stack: u32, stacks: &'a BTreeMap<u32, Vec<Frame>>) -> Self {
        let frames = stacks.get(&stack).map_or(&[][..], Vec::as_slice);
        match Landmarks::of(frames).function {
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

/// Puts the places of a request together that are one to the user; each keeps the stack that took the most time.
pub(crate) fn merge(request: &mut Arc<Request>, stacks: &BTreeMap<u32, Vec<Frame>>) {
    let several = |explanation: &Explanation| explanation.places.len() > 1 || !explanation.waits.is_empty();
    if !request.explanation.as_deref().is_some_and(several) {
        return;
    }
    if let Some(explanation) = &mut Arc::make_mut(request).explanation {
        let Explanation { places, waits, .. } = Arc::make_mut(explanation);
        merge_places(places, stacks);
        merge_waits(waits, stacks);
    }
}

/// The tests whose requests, of those that were kept, have met what was found in this place.
pub(crate) fn tests_of(
    finding: &Finding,
    requests: &[Arc<Request>],
    stacks: &BTreeMap<u32, Vec<Frame>>,
) -> Vec<TestId> {
    let (Some((method, route)), Some(found)) = (&finding.route, &finding.place) else { return Vec::new() };
    let spot = Spot::of(found.cause, found.stack, stacks);
    let has_met = |request: &&Arc<Request>| {
        let places = request.explanation.iter().flat_map(|explanation| &explanation.places);
        request.method == *method
            && request.route == *route
            && places
                .clone()
                .any(|place| place.cause == found.cause && Spot::of(place.cause, place.stack, stacks) == spot)
    };
    let tests: BTreeSet<TestId> =
        requests.iter().filter(has_met).filter_map(|request| request.connection.owner?.test).collect();
    tests.into_iter().collect()
}

fn merge_waits(waits: &mut [Wait], stacks: &BTreeMap<u32, Vec<Frame>>) {
    for wait in waits {
        merge_places(&mut wait.places, stacks);
        merge_waits(&mut wait.waits, stacks);
    }
}

fn merge_places(places: &mut Vec<Place>, stacks: &BTreeMap<u32, Vec<Frame>>) {
    // The longest first: the one that the others are added to.
    places.sort_by_key(|place| (std::cmp::Reverse(place.ns), place.cause, place.stack));
    let mut merged: Vec<Place> = Vec::with_capacity(places.len());
    for place in places.drain(..) {
        let spot = Spot::of(place.cause, place.stack, stacks);
        let same =
            |other: &&mut Place| other.cause == place.cause && Spot::of(other.cause, other.stack, stacks) == spot;
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
