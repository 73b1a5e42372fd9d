//! What `--explain` has to say beneath the line of a request.

use super::calls::name;
use crate::report::colors::TextStyle;
use crate::report::finding::place::LocatedPlace;
use crate::report::finding::sentence::route;
use crate::report::segments::Segment;
use crate::report::table::Cell;
use crate::report::text::{escape, shorten, wrap};
use crate::report::units::{count, counted, time};
use cargo_beyla_core::model::explanation::{Awaited, CallWait, Cause, Explanation, Holder, Place, RespondParts, Wait};
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::summary::Explained;

/// A shorter time does not explain why a request was slow.
const WORTH_A_WORD_NS: u64 = 1_000_000;

/// Nor does one that is a smaller part of the request than one in this number.
const SHARE: u64 = 10;

/// How many tasks are named that wait for one another.
const TASKS_SHOWN: usize = 3;

/// Columns of the type of a future.
const TYPE_WIDTH: usize = 56;

/// The places, the waits and the delays that each took enough of the request's time, the longest of each kind first; in
/// lines of at most `width` columns with their indentation.
pub(super) fn remarks(request: &Request, explained: &Explained, indent: usize, width: usize) -> Vec<Cell> {
    let Some(explanation) = &request.explanation else { return Vec::new() };
    let total = request.boundaries.total();
    let tells = |ns: u64| ns >= WORTH_A_WORD_NS && ns >= total / SHARE;
    let said = said(explanation, explained);
    let lines = said.into_iter().filter(|(ns, ..)| tells(*ns));
    lines.flat_map(|(_, segment, text)| lines_of(segment, &text, indent, width)).collect()
}

/// Length, kind and text of each remark that could be made.
fn said(explanation: &Explanation, explained: &Explained) -> Vec<(u64, Segment, String)> {
    let Explanation { tier: _, unit: _, parts: _, respond, places, by_stack: _, waits, calls, delays } = explanation;
    // The length alone of an unknown place is in the bar.
    let places = places.iter().filter(|place| LocatedPlace::of(place, explained).describe().is_some());
    let places = places.map(|place| {
        let segment = if place.cause == Cause::Running { Segment::Running } else { Segment::Blocked };
        (place.ns, segment, at_place(place, explained))
    });
    let waits = waits.iter().map(|wait| (wait.ns, Segment::Waiting, for_tasks(wait, explained)));
    let delays = delays.iter().map(|delay| {
        let by = match &delay.by {
            Holder::Request((method, path)) => route(method, path),
            Holder::Task(functions) => task(*functions, explained),
        };
        (delay.ns, Segment::Scheduled, format!("delayed {} by {by}", time(delay.ns)))
    });
    let calls = calls.iter().map(|wait| (wait.ns, Segment::Waiting, for_calls(wait)));
    let respond = respond.iter().map(|parts| (parts.sum(), Segment::Respond, responding(parts)));
    places.chain(waits).chain(calls).chain(delays).chain(respond).collect()
}

/// `responded 210 ms: client 200 ms`.
fn responding(parts: &RespondParts) -> String {
    let total = parts.sum();
    let mut named = parts.named();
    named.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    let long = named.iter().filter(|(_, length)| *length > 0 && *length >= total / SHARE);
    let long: Vec<String> = long.map(|(name, length)| format!("{name} {}", time(*length))).collect();
    format!("responded {}: {}", time(total), long.join(", "))
}

/// `blocked 50.1 ms: std::thread::sleep at src/main.rs:42 in app::block`.
fn at_place(place: &Place, explained: &Explained) -> String {
    let length = time(place.ns);
    let mut text = match (place.cause, place.count) {
        // The time comes from samples, whose number says nothing.
        (Cause::Running, _) => format!("ran about {length}"),
        (_, 0 | 1) => format!("blocked {length}"),
        (_, number) => format!("blocked {length}, {}", counted(number.into(), "time")),
    };
    if let Some(place) = LocatedPlace::of(place, explained).describe() {
        text.extend([": ", &place]);
    }
    text
}

/// `waited 50.2 ms on the blocking pool (blocked 50.0 ms: ...)`.
fn for_tasks(wait: &Wait, explained: &Explained) -> String {
    let mut text = for_task(wait, explained);
    let mut wait = wait;
    for _ in 1..TASKS_SHOWN {
        // A further wait is named if it took the other task most of the time and no place did.
        let further = wait.waits.first().filter(|further| further.ns >= wait.ns / 2);
        let Some(further) = further.filter(|_| place_of(wait).is_none()) else { break };
        text.extend([", which ", &for_task(further, explained)]);
        wait = further;
    }
    let longest = wait.parts.named().into_iter().max_by_key(|(_, length)| *length);
    let longest = longest.filter(|(_, length)| *length > 0 && *length >= wait.ns / 2);
    let why = match (place_of(wait), longest) {
        (Some(place), _) => Some(at_place(place, explained)),
        (None, longest) => longest.map(|(name, length)| format!("{name} {}", time(length))),
    };
    if let Some(why) = why {
        text.extend([" (", &why, ")"]);
    }
    text
}

fn for_task(wait: &Wait, explained: &Explained) -> String {
    let on = match wait.on {
        Awaited::BlockingPool => "the blocking pool".to_owned(),
        Awaited::Task(functions) => task(functions, explained),
    };
    format!("waited {} on {on}", time(wait.ns))
}

/// `waited 41.2 ms for 41 × postgresql SELECT items`.
fn for_calls(CallWait { kind, summary, ns, count: number }: &CallWait) -> String {
    let times = if *number > 1 { format!("{} × ", count((*number).into())) } else { String::new() };
    format!("waited {} for {times}{}", time(*ns), name(*kind, summary))
}

fn task(functions: u64, explained: &Explained) -> String {
    match explained.task_types.get(&functions) {
        Some(name) => format!("the task {}", shorten(&escape(name), TYPE_WIDTH)),
        None => "another task".to_owned(),
    }
}

/// Where the other task was for the better part of that time.
fn place_of(wait: &Wait) -> Option<&Place> {
    wait.places.first().filter(|place| place.ns >= wait.ns / 2)
}

fn lines_of(segment: Segment, text: &str, indent: usize, width: usize) -> Vec<Cell> {
    let lines = wrap(text, width.saturating_sub(indent + 2));
    let cell = |(index, line): (usize, &String)| match line.split_once(' ') {
        Some((first, rest)) if index == 0 => Cell::plain(" ".repeat(indent))
            .and(TextStyle::Segment(segment), first)
            .and(TextStyle::Plain, format!(" {rest}")),
        _ => Cell::plain(" ".repeat(indent + if index == 0 { 0 } else { 2 }) + line),
    };
    lines.iter().enumerate().map(cell).collect()
}
