//! The calls that a request waited for.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use crate::model::call::Call;
use crate::model::explanation::CallWait;

/// The calls that one explanation names; the shortest waits go.
const NAMED_MAX: usize = 8;

/// How long a request waited for its calls within its phase `handle`, by what these ask for: the longest wait first.
/// `waiting` are the times in which its task waited, ascending and without overlap. The waits take no more than `most`,
/// in nanoseconds, all together.
///
/// Of calls at the same time, the request waits for the one that ends last: without the others, it would have waited as
/// long.
pub(crate) fn call_waits(
    calls: &[Arc<Call>],
    waiting: &[Range<u64>],
    handle: &Range<u64>,
    mut most: u64,
) -> Vec<CallWait> {
    let mut by_end: Vec<&Call> = calls.iter().map(|call| &**call).collect();
    by_end.sort_by_key(|call| Reverse(call.boundaries.ended));
    let mut left = waiting.to_vec();
    let mut waits: Vec<CallWait> = Vec::new();
    for call in by_end {
        let within = call.boundaries.start().max(handle.start)..call.boundaries.ended.min(handle.end);
        let (ns, rest) = take(&left, &within);
        left = rest;
        let ns = ns.min(most);
        most -= ns;
        if ns == 0 {
            continue;
        }
        match waits.iter_mut().find(|wait| wait.kind == call.kind && wait.summary == call.summary) {
            Some(wait) => (wait.ns, wait.count) = (wait.ns + ns, wait.count + 1),
            None => waits.push(CallWait { kind: call.kind, summary: Arc::clone(&call.summary), ns, count: 1 }),
        }
    }
    waits.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| (a.kind, &a.summary).cmp(&(b.kind, &b.summary))));
    waits.truncate(NAMED_MAX);
    waits
}

/// How much of the times lies within `of`, and what is left of them.
fn take(times: &[Range<u64>], of: &Range<u64>) -> (u64, Vec<Range<u64>>) {
    let (mut taken, mut left) = (0, Vec::with_capacity(times.len() + 1));
    for time in times {
        let within = time.start.max(of.start)..time.end.min(of.end);
        if within.is_empty() {
            left.push(time.clone());
            continue;
        }
        taken += within.end - within.start;
        left.extend([time.start..within.start, within.end..time.end].into_iter().filter(|rest| !rest.is_empty()));
    }
    (taken, left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures;
    use crate::model::call::CallKind;

    fn calls(of: &[(&str, u64, u64)]) -> Vec<Arc<Call>> {
        let call = |(summary, begun, ended): &(&str, u64, u64)| {
            Arc::new(fixtures::call(1, CallKind::Redis, summary, *begun, ended - begun))
        };
        of.iter().map(call).collect()
    }

    fn waits(of: &[(&str, u64, u64)], waiting: &[Range<u64>]) -> Vec<(String, u64, u32)> {
        let waits = call_waits(&calls(of), waiting, &(0..1000), u64::MAX);
        waits.into_iter().map(|wait| (wait.summary.to_string(), wait.ns, wait.count)).collect()
    }

    fn row(summary: &str, ns: u64, count: u32) -> (String, u64, u32) {
        (summary.to_owned(), ns, count)
    }

    #[test]
    fn only_the_time_counts_in_which_the_request_waited() {
        assert_eq!(waits(&[("GET", 10, 30)], &[0..15, 20..40]), [row("GET", 15, 1)]);
        assert_eq!(waits(&[("GET", 10, 30)], &[0..10, 30..40]), []);
    }

    #[test]
    fn calls_one_after_the_other_are_one_wait() {
        let of = [("GET", 10, 20), ("SET", 20, 45), ("GET", 50, 60)];
        assert_eq!(waits(&of, &[0..15, 15..100]), [row("SET", 25, 1), row("GET", 20, 2)]);
    }

    #[test]
    fn of_calls_at_the_same_time_it_waits_for_the_one_that_ends_last() {
        let of = [("A", 10, 30), ("B", 12, 50), ("C", 20, 40)];
        assert_eq!(waits(&of, &[10..60]), [row("B", 38, 1), row("A", 2, 1)]);
    }

    #[test]
    fn only_the_phase_handle_counts() {
        let of = calls(&[("GET", 10, 30)]);
        let ns = |handle: Range<u64>, most| call_waits(&of, &[0..100], &handle, most).first().map(|wait| wait.ns);
        assert_eq!([ns(15..25, 100), ns(0..100, 7), ns(40..50, 100)], [Some(10), Some(7), None]);
    }

    proptest! {
        #[test]
        fn no_time_counts_twice(
            of in proptest::collection::vec((0_u64..500, 0_u64..100), 0..20),
            waiting in proptest::collection::vec(0_u64..500, 0..20),
        ) {
            let of: Vec<_> = of.iter().map(|(begun, length)| ("GET", *begun, begun + length)).collect();
            let mut waiting = waiting;
            waiting.sort_unstable();
            let waiting: Vec<_> = waiting.chunks_exact(2).map(|ends| ends[0]..ends[1]).collect();
            let covered = |at: &u64| of.iter().any(|(_, begun, ended)| (*begun..*ended).contains(at));
            let truth = waiting.iter().cloned().flatten().filter(covered).count() as u64;
            prop_assert_eq!(waits(&of, &waiting).iter().map(|(_, ns, _)| ns).sum::<u64>(), truth);
        }
    }
}
