//! What could not be seen, and what cures it.

use crate::report::colors::{Paint, Role};
use crate::report::text;
use crate::report::units::{bytes, count, counted};
use cargo_beyla_core::model::summary::{Explained, Summary, Unseen};

/// Lines longer than this are hard to read, however wide the terminal.
const LINE: usize = 100;

/// A plain sentence or two for each thing that was lost or could not be read; `None` if there was
/// nothing.
pub(super) fn notes(summary: &Summary, paint: Paint, width: usize) -> Option<String> {
    let sentences = sentences(summary);
    if sentences.is_empty() {
        return None;
    }
    let mut out = paint.paint(Role::Strong, "Not in this report") + "\n";
    for sentence in sentences {
        for (index, line) in text::wrap(&sentence, width.min(LINE) - 4).iter().enumerate() {
            out.push_str(if index == 0 { "  - " } else { "    " });
            out.push_str(line);
            out.push('\n');
        }
    }
    Some(out)
}

fn sentences(summary: &Summary) -> Vec<String> {
    let unseen = &summary.unseen;
    let connections = |number: u64| counted(number, "connection");
    let notes: [(u64, &dyn Fn(u64) -> String); 13] = [
        (summary.totals.requests_not_kept, &|number| {
            format!(
                "{} counted but not kept one by one, the slowest excepted. Keep more with --max-requests.",
                if number == 1 { "1 request is".into() } else { format!("{} requests are", count(number)) }
            )
        }),
        (unseen.lost_records, &|number| {
            format!(
                "{} lost because the tracer could not keep up: requests are missing, or end as \
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
        (unseen.tls_connections, &|number| {
            format!(
                "{} spoke TLS, which is not read yet: those requests are missing. Serve plain \
                 HTTP while you measure.",
                connections(number)
            )
        }),
        (unseen.http2_connections, &|number| {
            format!(
                "{} spoke HTTP/2, which is not read yet: those requests are missing. Use \
                 HTTP/1.1, as in `curl --http1.1`.",
                connections(number)
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
                 in this report, nor is TLS, HTTP/2 or another protocol.",
                if number == 1 { "1 connection that was".into() } else { format!("{} that were", connections(number)) }
            )
        }),
        (unseen.foreign_connections, &|number| {
            format!(
                "{} served by programs that are not built in this workspace: those requests are not followed.",
                if number == 1 { "1 connection was".into() } else { format!("{} connections were", count(number)) }
            )
        }),
    ];
    let unassigned = unassigned(summary).map(|number| {
        format!(
            "{} of no test: the start of what served them was not seen, or happened outside of the tests.",
            if number == 1 { "1 request is".into() } else { format!("{} requests are", count(number)) }
        )
    });
    let notes = notes.into_iter().filter(|(number, _)| *number > 0).map(|(number, say)| say(number));
    let notes = notes.chain(failures(unseen)).chain(unassigned);
    notes.chain(summary.explained.iter().flat_map(not_explained)).collect()
}

/// What the probes failed at.
fn failures(unseen: &Unseen) -> impl Iterator<Item = String> {
    let reads = (unseen.failed_reads > 0).then(|| {
        let times = counted(unseen.failed_reads, "time");
        format!("A probe could not read what it needed {times}: requests may be missing, or end as `not seen`.")
    });
    let frames = (unseen.out_of_step > 0).then(|| {
        let times = counted(unseen.out_of_step, "time");
        format!("Where the next frame begins was lost {times}: what follows on such a connection is not read.")
    });
    reads.into_iter().chain(frames)
}

/// In a run of tests, the requests that are none's.
fn unassigned(summary: &Summary) -> Option<u64> {
    let assigned: u64 = summary.tests.iter().map(|test| test.requests).sum();
    Some(summary.totals.requests.saturating_sub(assigned)).filter(|number| *number > 0 && !summary.tests.is_empty())
}

/// What `--explain` was asked for and could not tell.
fn not_explained(explained: &Explained) -> Vec<String> {
    let mut notes: Vec<String> = explained.unseen.lines().map(|line| text::escape(line).into_owned()).collect();
    if explained.requests_not_opened > 0 {
        notes.push(format!(
            "Of {} it is not known what `handle` consisted of.",
            counted(explained.requests_not_opened, "request")
        ));
    }
    notes
}
