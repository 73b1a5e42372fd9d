//! A request's time in segments: its phases or, where `--explain` has opened `handle`, its parts in the place of that.

use cargo_beyla_core::model::boundaries::Phases;
use cargo_beyla_core::model::explanation::Parts;
use cargo_beyla_core::model::summary::RouteSummary;

/// A phase, or a part of `handle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Queue,
    Receive,
    /// The phase as a whole, if it was not opened.
    Handle,
    Running,
    Runnable,
    Blocked,
    Scheduled,
    Waiting,
    Respond,
}

/// All of them, in the order in which bars and tables have them.
const ALL: [Segment; 9] = [
    Segment::Queue,
    Segment::Receive,
    Segment::Handle,
    Segment::Running,
    Segment::Runnable,
    Segment::Blocked,
    Segment::Scheduled,
    Segment::Waiting,
    Segment::Respond,
];

/// The segments of a run in which no `handle` was opened.
pub(super) const PHASES: [Segment; 4] = [Segment::Queue, Segment::Receive, Segment::Handle, Segment::Respond];

impl Segment {
    pub(super) fn name(self) -> &'static str {
        self.name_and_sign().0
    }

    /// Its name, and the sign that it has in a bar.
    pub(super) fn name_and_sign(self) -> (&'static str, char) {
        match self {
            Self::Queue => ("queue", '░'),
            Self::Receive => ("receive", '<'),
            Self::Handle => ("handle", '█'),
            Self::Running => ("running", '▓'),
            Self::Runnable => ("runnable", '▄'),
            Self::Blocked => ("blocked", 'X'),
            Self::Scheduled => ("scheduled", '▒'),
            Self::Waiting => ("waiting", '·'),
            Self::Respond => ("respond", '>'),
        }
    }

    /// Whether it is a part of `handle`.
    pub(super) fn is_part(self) -> bool {
        matches!(self, Self::Running | Self::Runnable | Self::Blocked | Self::Scheduled | Self::Waiting)
    }
}

/// The length of each segment in nanoseconds; `None` where it is not known, or where others stand in its
/// place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths([Option<u64>; ALL.len()]);

impl Lengths {
    /// The segments of a request.
    pub(super) fn of_request(phases: &Phases, parts: Option<&Parts>) -> Self {
        Self::new(phases.named().map(|(_, length)| length), parts.map(|parts| parts.named().map(|(_, length)| length)))
    }

    /// The means of a route with `handle` as a whole.
    pub(super) fn of_phases(route: &RouteSummary) -> Self {
        Self::new(route.phase_mean.map(|mean| mean.map(|mean| mean.round() as u64)), None)
    }

    /// The means of a route. `handle` may be known of more requests than its parts are: they share it
    /// in proportion.
    pub(super) fn of_route(route: &RouteSummary) -> Self {
        let [_, _, handle, _] = route.phase_mean;
        let parts = handle.zip(route.handle_mean).and_then(|(handle, parts)| {
            let sum: f64 = parts.iter().sum();
            (sum > 0.0).then(|| parts.map(|part| (part / sum * handle).round() as u64))
        });
        Self::new(route.phase_mean.map(|mean| mean.map(|mean| mean.round() as u64)), parts)
    }

    fn new(phases: [Option<u64>; 4], parts: Option<[u64; 5]>) -> Self {
        let [queue, receive, handle, respond] = phases;
        Self(match parts.filter(|_| handle.is_some()) {
            None => [queue, receive, handle, None, None, None, None, None, respond],
            Some(parts) => {
                let [running, runnable, blocked, scheduled, waiting] = parts.map(Some);
                [queue, receive, None, running, runnable, blocked, scheduled, waiting, respond]
            }
        })
    }

    pub(super) fn get(&self, segment: Segment) -> Option<u64> {
        self.0[segment as usize]
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().flatten().fold(0, |sum, length| sum.saturating_add(*length))
    }

    fn is_opened(&self) -> bool {
        self.get(Segment::Running).is_some()
    }
}

/// The segments that reports show of these requests or routes.
///
/// Nine are too many to read at a glance: if any `handle` was opened, a segment has to make out a hundredth
/// of one of them.
pub(super) fn shown(rows: &[Lengths]) -> Vec<Segment> {
    if !rows.iter().any(Lengths::is_opened) {
        return PHASES.to_vec();
    }
    let counts = |row: &Lengths, segment: Segment| {
        row.get(segment).is_some_and(|length| length > 0 && length >= row.sum() / 100)
    };
    ALL.into_iter().filter(|&segment| rows.iter().any(|row| counts(row, segment))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Parts = Parts { running: 1, runnable: 0, blocked: 900, scheduled: 0, waiting: 99 };

    fn opened() -> Lengths {
        let phases = Phases { queue: Some(5), receive: None, handle: Some(1000), respond: Some(50) };
        Lengths::of_request(&phases, Some(&PARTS))
    }

    #[test]
    fn names_are_those_of_the_model() {
        assert_eq!(Phases::default().named().map(|(name, _)| name), PHASES.map(Segment::name));
        let parts: Vec<_> = ALL.into_iter().filter(|segment| segment.is_part()).map(Segment::name).collect();
        assert_eq!(Parts::default().named().map(|(name, _)| name)[..], parts);
        assert!(ALL.iter().enumerate().all(|(index, segment)| index == *segment as usize));
    }

    #[test]
    fn parts_stand_in_the_place_of_the_phase() {
        assert_eq!(opened().get(Segment::Handle), None);
        assert_eq!(opened().get(Segment::Blocked), Some(900));
        assert_eq!(opened().sum(), 1055);
        let without = Phases { handle: None, ..Phases::default() };
        assert_eq!(Lengths::of_request(&without, Some(&PARTS)), Lengths::default());
    }

    #[test]
    fn the_parts_of_a_route_share_its_handle() {
        let mut route = crate::report::fixtures::route("GET", "/", 10);
        route.handle_mean = Some([10.0, 0.0, 30.0, 0.0, 0.0]);
        route.phase_mean = [None, None, Some(80.0), None];
        let lengths = Lengths::of_route(&route);
        assert_eq!((lengths.get(Segment::Running), lengths.get(Segment::Blocked)), (Some(20), Some(60)));
        route.handle_mean = Some([0.0; 5]);
        assert_eq!(Lengths::of_route(&route).get(Segment::Handle), Some(80));
    }

    #[test]
    fn what_is_nowhere_a_hundredth_is_not_shown() {
        let plain = Lengths::of_request(&Phases { handle: Some(1), ..Phases::default() }, None);
        assert_eq!(shown(&[plain]), PHASES);
        assert_eq!(shown(&[opened()]), [Segment::Blocked, Segment::Waiting, Segment::Respond]);
        assert_eq!(shown(&[plain, opened()])[0], Segment::Handle);
    }
}
