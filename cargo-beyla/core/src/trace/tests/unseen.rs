//! Bytes that moved without a record.

use super::*;

#[track_caller]
fn check_unseen(
    build: impl FnOnce(&mut EventBuilder) -> &mut EventBuilder,
    expected: &[&str],
    missing_bytes: u64,
) -> Summary {
    let summary = check(build, expected);
    let unseen = Unseen { missing_bytes, ..Default::default() };
    assert_eq!(summary.unseen, unseen);
    summary
}

#[test]
fn an_upload_that_was_spliced_has_its_size_and_not_its_end() {
    let summary = check_unseen(
        |events| events.receive(1, POST_1000).unseen(Up, 1, 1000).send(1, OK).receive(1, GET).send(1, OK),
        &["POST / 200 complete 1000 2", "GET /a 200 complete 0 2"],
        0,
    );
    assert_eq!(summary.requests[0].boundaries.received, None);
    assert_eq!(summary.requests[0].boundaries.phases().handle, Some(30));
}

#[test]
fn a_response_of_which_bytes_moved_unseen() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab";
    check_unseen(
        |events| events.receive(1, GET).send(1, head).unseen(Down, 1, 5).send(1, "hij").receive(1, GET).send(1, OK),
        &["GET /a 200 complete 0 10", "GET /a 200 complete 0 2"],
        5,
    );
    check_unseen(
        |events| events.receive(1, GET).send(1, head).unseen(Down, 1, 8).receive(1, GET).send(1, OK),
        &["GET /a 200 not seen 0 10", "GET /a 200 complete 0 2"],
        8,
    );
    let summary = check_unseen(
        |events| events.receive(1, GET).unseen(Down, 1, 40).receive(1, GET).send(1, OK),
        &["GET /a - not seen 0 -", "GET /a 200 complete 0 2"],
        40,
    );
    assert_eq!(summary.requests[0].boundaries.phases().handle, None);
    check_unseen(
        |events| events.receive(1, GET).unseen(Down, 1, 40).server_closes(1).over(1),
        &["GET /a - not seen 0 -"],
        40,
    );
}

#[test]
fn what_happens_at_the_same_address_after_a_connection_is_over_is_not_its() {
    check_unseen(
        |events| {
            events.receive(1, GET).send(1, OK).server_closes(1).over(1);
            events.unseen(Up, 1, 1000).unseen(Down, 1, 1 << 30).server_closes(1).over(1)
        },
        &["GET /a 200 complete 0 2"],
        0,
    );
}

#[test]
fn requests_that_moved_unseen_and_their_responses() {
    check_unseen(
        |events| {
            events.receive(1, GET).send(1, OK).unseen(Up, 1, 30).unseen(Down, 1, 50);
            events.receive(1, GET).send(1, OK).receive(1, GET).send(1, OK)
        },
        &["GET /a 200 complete 0 2"; 3],
        80,
    );
    check_unseen(
        |events| events.receive(1, GET).send(1, OK).unseen(Up, 1, 30).send(1, OK).receive(1, GET).send(1, OK),
        &["GET /a 200 complete 0 2"; 2],
        30,
    );
    // The FIN takes one number of those at the end.
    check_unseen(
        |events| events.receive(1, GET).send(1, OK).unseen(Up, 1, 9).client_closes(1).over(1),
        &["GET /a 200 complete 0 2"],
        8,
    );
}

#[test]
fn bytes_that_moved_unseen_in_the_midst_of_heads() {
    check_unseen(
        |events| {
            // What is answered is a request.
            events.receive(1, "GET /b HT").unseen(Up, 1, 10).send(1, OK).receive(1, GET);
            events.send(1, "HTTP/1.1 20").unseen(Down, 1, 7).send(1, "\r\n\r\nok").receive(1, GET).send(1, OK)
        },
        &["GET /b 200 complete 0 2", "GET /a - not seen 0 -", "GET /a 200 complete 0 2"],
        17,
    );
}

#[test]
fn a_connection_whose_beginning_was_lost() {
    let mut events = EventBuilder::new();
    events.open(1);
    events.bytes.clear();
    events.receive(1, "tail of a body").receive(1, GET).send(1, OK);
    // What was not seen from the start cannot be told from another protocol.
    assert_eq!(events.summary().totals.connections, 1);
    let mut events = EventBuilder::new();
    events.open(1);
    events.bytes.clear();
    events.receive(1, GET).send(1, OK);
    assert_eq!(lines(&events), ["GET /a 200 complete 0 2"]);
}

#[test]
fn a_connection_that_the_process_opened_and_whose_beginning_was_lost() {
    let mut events = EventBuilder::new();
    events.connects(1).established(1);
    events.bytes.clear();
    events.send(1, GET).receive(1, OK);
    let summary = events.summary();
    assert_eq!((summary.totals.client_connections, summary.totals.connections), (1, 0));
    let calls: Vec<_> = summary.calls.iter().map(|call| (&*call.summary, call.status.as_deref())).collect();
    assert_eq!(calls, [("GET /a", Some("200"))]);
}

#[test]
fn what_could_not_be_recorded_is_passed_on() {
    let mut events = EventBuilder::with_connection();
    events.lost(5).lost(4).io_uring().io_uring();
    let unseen = Unseen {
        lost_records: 5,
        skipped_probes: 3,
        failed_reads: 4,
        out_of_step: 6,
        untracked_connections: 2,
        io_urings: 2,
        ..Default::default()
    };
    assert_eq!(events.summary().unseen, unseen);
}
