//! A finding as one sentence with its evidence.

use super::place::LocatedPlace;
use crate::report::text::{escape, shorten};
use crate::report::units::{count, counted, time};
use cargo_beyla_core::model::finding::{AskedFor, Delayed, Finding, FindingKind};
use cargo_beyla_core::model::summary::Explained;

/// Columns of a route; paths are of any length.
const ROUTE_WIDTH: usize = 64;

/// Columns of a method, which is a word of the client's choice.
const METHOD_WIDTH: usize = 17;

/// More delayed routes than these are only counted.
const DELAYED_SHOWN: usize = 2;

/// Method and route, fit for a terminal.
pub(in crate::report) fn route(method: &str, route: &str) -> String {
    format!("{} {}", shorten(&escape(method), METHOD_WIDTH), shorten(&escape(route), ROUTE_WIDTH))
}

/// What the finding is, in one or two words, as its sentence begins.
pub(in crate::report) fn title(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::BlockingCall => "blocking call",
        FindingKind::CpuBoundPoll => "cpu-bound poll",
        FindingKind::RuntimeSaturated => "runtime saturated",
        FindingKind::CpuSaturated => "cpu saturated",
        FindingKind::AcceptWait => "accept wait",
        FindingKind::SlowUpload => "slow upload",
        FindingKind::SlowReader => "slow reader",
        FindingKind::LockContention => "lock contention",
        FindingKind::RepeatedCall => "repeated call",
        FindingKind::SlowCall => "slow call",
        FindingKind::FailedConnect => "failed connect",
    }
}

/// `blocking call: GET /block blocks an async worker for up to 50.1 ms, in ...`. Fit for a terminal.
pub(in crate::report) fn sentence(finding: &Finding, explained: &Explained) -> String {
    let mut sentence = format!("{}: {}, {}", title(finding.kind), claim(finding), frequency(finding));
    if finding.count > 1 {
        sentence.extend([" (", &time(finding.total_ns), " in all)"]);
    }
    let place = finding.place.and_then(|place| LocatedPlace::of(&place, explained).describe());
    if let Some(place) = place {
        sentence.extend([": ", &place]);
    }
    if let Some(delayed) = delayed(&finding.delayed) {
        sentence.extend(["; it delayed ", &delayed]);
    }
    sentence
}

/// Who does or suffers what, and for how long.
fn claim(finding: &Finding) -> String {
    let max = time(finding.max_ns);
    let named = finding.route.as_ref().map(|(method, path)| route(method, path));
    let who = |otherwise: &str| named.clone().unwrap_or_else(|| otherwise.to_owned());
    let server = || who("the server");
    match finding.kind {
        FindingKind::BlockingCall => format!("{} blocks an async worker for up to {max}", server()),
        FindingKind::CpuBoundPoll => format!("{} computes for up to {max} without a yield", server()),
        FindingKind::RuntimeSaturated => format!("{} waits for up to {max} for a free worker", server()),
        FindingKind::CpuSaturated => format!("{} waits for up to {max} for a CPU", server()),
        FindingKind::AcceptWait => {
            let whose = named.as_ref().map_or(String::new(), |route| format!(" of {route}"));
            format!("clients{whose} wait for up to {max} to be accepted")
        }
        FindingKind::SlowUpload => format!("{} takes up to {max} to arrive", who("a request")),
        FindingKind::SlowReader => format!("the answer of {} takes up to {max} to be read", server()),
        FindingKind::LockContention => format!("{} waits for up to {max} for a lock", server()),
        FindingKind::RepeatedCall => {
            let most = finding.asked_for.as_ref().map_or(0, |asked| asked.most);
            format!("{} makes up to {} × {}, one after the other", server(), count(most), asked_for(finding))
        }
        FindingKind::SlowCall => format!("{} waits for up to {max} for {}", server(), asked_for(finding)),
        FindingKind::FailedConnect => format!("{} cannot connect to {}", server(), asked_for(finding)),
    }
}

/// `postgresql SELECT items`, or `127.0.0.1:9000 (ECONNREFUSED), tried up to 3 times`. Fit for a terminal.
fn asked_for(finding: &Finding) -> String {
    let Some(AskedFor { kind, summary, peer, status, most }) = &finding.asked_for else { return String::new() };
    let Some(peer) = peer else { return format!("{} {}", kind.label(), shorten(&escape(summary), ROUTE_WIDTH)) };
    let status = status.as_ref().map_or_else(String::new, |status| format!(" ({})", escape(status)));
    let tries = if *most > 1 { format!(", tried up to {} times", count(*most)) } else { String::new() };
    format!("{}{status}{tries}", shorten(&escape(&peer.to_string()), ROUTE_WIDTH))
}

fn frequency(finding: &Finding) -> String {
    let polls = matches!(finding.kind, FindingKind::BlockingCall | FindingKind::CpuBoundPoll);
    let what = if finding.kind == FindingKind::AcceptWait { "connection" } else { "request" };
    match (finding.count, finding.of) {
        // Of tasks that handle no request, polls are counted.
        (number, _) if polls && finding.route.is_none() => format!("in {}", counted(number, "poll")),
        (1, 1) => format!("in its only {what}"),
        (number, of) => format!("in {} of {}", count(number), counted(of, what)),
    }
}

fn delayed(delayed: &[Delayed]) -> Option<String> {
    let (shown, rest) = delayed.split_at(delayed.len().min(DELAYED_SHOWN));
    let mut parts: Vec<String> = shown.iter().map(delayed_route).collect();
    if !rest.is_empty() {
        let requests = rest.iter().map(|delayed| delayed.count).sum();
        parts.push(format!("{} of {}", counted(requests, "request"), counted(rest.len() as u64, "more route")));
    }
    let last = parts.pop()?;
    Some(if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) })
}

fn delayed_route(delayed: &Delayed) -> String {
    let requests = counted(delayed.count, "request");
    let route = route(&delayed.method, &delayed.route);
    let max = time(delayed.max_ns);
    match delayed.count {
        1 => format!("{requests} of {route} by {max}"),
        _ => format!("{requests} of {route} by up to {max} ({} in all)", time(delayed.total_ns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_beyla_core::model::call::CallKind;
    use cargo_beyla_core::model::connection::Endpoint;

    fn finding(kind: FindingKind, counts: (u64, u64), route: Option<&str>) -> Finding {
        Finding {
            kind,
            route: route.map(|route| ("GET".into(), route.into())),
            place: None,
            asked_for: None,
            count: counts.0,
            of: counts.1,
            total_ns: 80_000_000,
            max_ns: 50_000_000,
            delayed: Vec::new(),
            tests: Vec::new(),
        }
    }

    fn says(finding: &Finding) -> String {
        sentence(finding, &Explained::default())
    }

    #[test]
    fn each_kind_has_its_sentence() {
        use FindingKind as Kind;
        let sentences = [
            finding(Kind::BlockingCall, (3, 3), Some("/block")),
            finding(Kind::CpuBoundPoll, (1, 1), Some("/hash")),
            finding(Kind::RuntimeSaturated, (1_200, 3_000), None),
            finding(Kind::CpuSaturated, (2, 3), None),
            finding(Kind::AcceptWait, (2, 3), None),
            finding(Kind::AcceptWait, (1, 3), Some("/fast")),
            finding(Kind::SlowUpload, (1, 3), Some("/echo")),
            finding(Kind::SlowReader, (1, 3), Some("/large")),
            finding(Kind::LockContention, (2, 3), Some("/lock")),
        ];
        insta::assert_snapshot!(sentences.each_ref().map(says).join("\n"));
    }

    #[test]
    fn those_about_calls_name_them() {
        let about = |kind, call, summary: &str, peer: Option<&str>, most| {
            let peer = peer.map(|path| Endpoint::Unix(path.to_owned()));
            let status = peer.as_ref().map(|_| "ECONNREFUSED".into());
            let asked_for = Some(AskedFor { kind: call, summary: summary.into(), peer, status, most });
            says(&Finding { asked_for, ..finding(kind, (2, 3), Some("/a")) })
        };
        assert_eq!(
            about(FindingKind::RepeatedCall, CallKind::Sqlite, "SELECT items", None, 41),
            "repeated call: GET /a makes up to 41 × sqlite SELECT items, one after the other, in 2 of 3 requests \
             (80.0 ms in all)"
        );
        assert_eq!(
            about(FindingKind::SlowCall, CallKind::Http, "GET /slow", None, 1),
            "slow call: GET /a waits for up to 50.0 ms for http GET /slow, in 2 of 3 requests (80.0 ms in all)"
        );
        assert_eq!(
            about(FindingKind::FailedConnect, CallKind::Tcp, "connect", Some("/a.sock"), 3),
            "failed connect: GET /a cannot connect to unix:/a.sock (ECONNREFUSED), tried up to 3 times, \
             in 2 of 3 requests (80.0 ms in all)"
        );
    }

    #[test]
    fn the_delayed_are_named_or_counted() {
        let delayed = |route: &str, count| Delayed {
            method: "GET".into(),
            route: route.into(),
            count,
            total_ns: 90_000_000,
            max_ns: 48_000_000,
        };
        let mut finding = finding(FindingKind::BlockingCall, (1, 1), Some("/block"));
        finding.delayed = vec![delayed("/a", 1), delayed("/b", 12)];
        let start = "blocking call: GET /block blocks an async worker for up to 50.0 ms, in its only request; \
                     it delayed 1 request of GET /a by 48.0 ms";
        let b = "12 requests of GET /b by up to 48.0 ms (90.0 ms in all)";
        assert_eq!(says(&finding), format!("{start} and {b}"));
        finding.delayed.extend([delayed("/c", 2), delayed("/d", 3)]);
        assert_eq!(says(&finding), format!("{start}, {b} and 5 requests of 2 more routes"));
    }
}
