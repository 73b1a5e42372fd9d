//! What could not be seen or read in a run, in sentences.

use super::units::{bytes, count, counted};
use super::{text, tls_notes};
use cargo_beyla_core::model::summary::{Explained, Summary, Unseen};

/// What is kept where not all requests are, with its verb.
fn kept(requests: u64) -> String {
    match requests {
        0 => "their counts and times are".to_owned(),
        1 => "the slowest is".to_owned(),
        number => format!("the {} slowest are", count(number)),
    }
}

/// Something that was counted, and the sentence that says it.
type Note<'a> = (u64, &'a dyn Fn(u64) -> String);

/// A plain sentence or two for each thing that was lost or could not be read, and what cures it.
pub(super) fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = of_events(summary);
    notes.extend(tls_notes::notes(summary));
    notes.extend(of_protocols(&summary.unseen));
    notes.extend(of_calls(summary));
    notes.extend(Some(summary.calls_unseen.clone()).filter(|sentence| !sentence.is_empty()));
    let unassigned = unassigned(summary).map(|number| {
        format!(
            "{} of no test: the start of what served them was not seen, or happened outside of the tests.",
            if number == 1 { "1 request is".into() } else { format!("{} requests are", count(number)) }
        )
    });
    notes.extend(unassigned);
    notes.extend(summary.explained.iter().flat_map(not_explained));
    notes
}

fn say(notes: &[Note<'_>]) -> Vec<String> {
    notes.iter().filter(|(number, _)| *number > 0).map(|(number, say)| say(*number)).collect()
}

/// What was not kept, not recorded or not seen.
fn of_events(summary: &Summary) -> Vec<String> {
    let unseen = &summary.unseen;
    say(&[
        (summary.totals.requests_not_kept, &|number| {
            format!(
                "{} counted, and not listed one by one: only {} kept. Keep more with --max-requests.",
                if number == 1 { "1 request is".into() } else { format!("{} requests are", count(number)) },
                kept(summary.requests.len() as u64)
            )
        }),
        (unseen.lost_records, &|number| {
            format!(
                "{} lost because the tracer could not keep up: requests and calls are missing, or end as \
                 `not seen`. Send less at a time, or leave it more of the CPU.",
                if number == 1 { "1 event was".into() } else { format!("{} events were", count(number)) }
            )
        }),
        (unseen.skipped_probes, &|number| {
            format!(
                "The kernel skipped a probe {}, because the CPU was inside one already: requests may \
                 be missing, or end as `not seen`.",
                counted(number, "time")
            )
        }),
        (unseen.failed_reads, &|number| {
            let times = counted(number, "time");
            format!("A probe could not read what it needed {times}: requests may be missing, or end as `not seen`.")
        }),
        (unseen.out_of_step, &|number| {
            let times = counted(number, "time");
            format!("Where the next frame begins was lost {times}: what follows on such a connection is not read.")
        }),
        (unseen.untracked_connections, &|number| {
            format!(
                "{} too many to follow at the same time: requests are missing. Use fewer \
                 connections at a time.",
                if number == 1 { "1 connection was".into() } else { format!("{} connections were", count(number)) }
            )
        }),
        (unseen.missing_bytes, &|number| {
            format!("{} passed unseen: requests in them are missing, or end as `not seen`.", bytes(number))
        }),
        (unseen.io_urings, &|_| {
            "The server uses io_uring. What it receives and sends that way is not seen, so those \
             requests are missing or incomplete. Run it on epoll, if its runtime can."
                .into()
        }),
    ])
}

/// What was seen and not read.
fn of_protocols(unseen: &Unseen) -> Vec<String> {
    let connections = |number: u64| counted(number, "connection");
    say(&[
        (unseen.partial_heads, &|number| {
            format!(
                "{} of HTTP/2 refer to what passed before anybody watched, or unseen: methods, paths and statuses may \
                 be missing there.",
                counted(number, "header")
            )
        }),
        (unseen.pushed_responses, &|number| {
            format!(
                "{} of HTTP/2 that the server pushed, without a request, are not rows.",
                counted(number, "response")
            )
        }),
        (unseen.upgraded_connections, &|number| {
            format!(
                "{} went over to another protocol, such as WebSocket: the request that asked for it \
                 is here, what followed is not.",
                connections(number)
            )
        }),
        (unseen.unreadable_connections, &|number| {
            format!(
                "{} spoke something else than HTTP/1, broke its rules, or had a header above 16 KiB: requests on \
                 them are missing, or end as `not seen`.",
                connections(number)
            )
        }),
        (unseen.unread_requests, &|number| {
            format!(
                "{} missing: of each call 16 KiB are looked at, and a header was longer, or began behind them.",
                if number == 1 {
                    "1 request or more is".into()
                } else {
                    format!("{} requests or more are", count(number))
                }
            )
        }),
        (unseen.unjoined_connections, &|number| {
            format!(
                "On {} open before anybody watched, no request was found: what was under way at the beginning is not \
                 in this report, nor is TLS or another protocol.",
                if number == 1 { "1 connection that was".into() } else { format!("{} that were", connections(number)) }
            )
        }),
        (unseen.foreign_connections, &|number| {
            format!(
                "{} served by programs that are not built in this workspace: those requests are not followed.",
                if number == 1 { "1 connection was".into() } else { format!("{} connections were", count(number)) }
            )
        }),
    ])
}

/// What is not known of calls.
fn of_calls(summary: &Summary) -> Vec<String> {
    let unseen = &summary.unseen;
    let connections =
        |number: u64, verb: &str| format!("{} that the server opened {verb}", counted(number, "connection"));
    say(&[
        (unseen.unattributed_calls, &|number| {
            let more = if summary.explained.is_some() { "" } else { " --explain tells more of them." };
            format!(
                "{} under no request: of some it is not known which request made them, and tasks beside the requests \
                 make others.{more}{}{}",
                if number == 1 { "1 call is".into() } else { format!("{} calls are", count(number)) },
                if summary.spawns_unseen.is_empty() { "" } else { " " },
                summary.spawns_unseen
            )
        }),
        (summary.totals.calls_not_kept, &|number| {
            format!(
                "{} counted, and not listed one by one.",
                if number == 1 { "1 call is".into() } else { format!("{} calls are", count(number)) }
            )
        }),
        (unseen.unread_calls, &|number| {
            format!(
                "{} missing: what the server asked for lies in bytes that were not looked at.",
                if number == 1 { "1 call or more is".into() } else { format!("{} calls or more are", count(number)) }
            )
        }),
        (unseen.upgraded_client_connections, &|number| {
            format!(
                "{}: the call that asked for it is here, what followed is not.",
                connections(number, "went over to another protocol")
            )
        }),
        (unseen.unreadable_client_connections, &|number| {
            format!(
                "{}: calls on them are missing, or end as `not seen`.",
                connections(number, "could not be read to the end")
            )
        }),
    ])
}

/// In a run of tests, the requests that are none's.
fn unassigned(summary: &Summary) -> Option<u64> {
    let assigned: u64 = summary.tests.iter().map(|test| test.requests).sum();
    Some(summary.totals.requests.saturating_sub(assigned)).filter(|number| *number > 0 && !summary.tests.is_empty())
}

/// What `--explain` could not find out.
fn not_explained(explained: &Explained) -> Vec<String> {
    let mut notes: Vec<String> = explained.unseen.lines().map(|line| text::escape(line).into_owned()).collect();
    if explained.requests_not_opened > 0 {
        notes.push(format!(
            "Of {} it is not known what `handle` consisted of.",
            counted(explained.requests_not_opened, "request")
        ));
    }
    if explained.requests_seen > 0 {
        notes.push(format!(
            "{} had no probe on the runtime (--overhead-budget): what {} waited for is not told apart, and computing is \
             estimated from samples. --explain=always tells, and costs more.",
            counted(explained.requests_seen, "opened request"),
            if explained.requests_seen == 1 { "it" } else { "they" },
        ));
    }
    notes
}
