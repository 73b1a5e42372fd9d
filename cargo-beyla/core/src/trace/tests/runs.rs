//! A run as a whole.

use super::*;

#[test]
fn unix_sockets() {
    let mut tape = Tape::new();
    tape.open_unix(1, "/run/a.sock").receive(1, GET).send(1, OK).receive(1, GET).over(1);
    tape.open_unix(2, "@b").receive(2, GET).end_of_stream(2).over(2);
    assert_eq!(lines(&tape), ["GET /a 200 complete 0 2", "GET /a - server closed 0 -", "GET /a - client closed 0 -"]);
    let servers = tape.summary().requests.iter().map(|r| r.connection.server.to_string()).collect::<Vec<_>>();
    assert_eq!(servers, ["unix:/run/a.sock", "unix:/run/a.sock", "unix:@b"]);
}

#[test]
fn many_connections_and_the_slowest_are_kept() {
    let mut tape = Tape::new();
    for connection in 1..=1000 {
        tape.open(connection).receive(connection, GET);
        tape.now += if connection % 100 == 0 { 1000 + connection } else { 0 };
        tape.send(connection, OK).client_closes(connection).over(connection);
    }
    let summary = tape.summary_keeping(10);
    assert_eq!((summary.totals.requests, summary.totals.connections), (1000, 1000));
    assert_eq!(summary.totals.requests_not_kept, 990);
    let ids: Vec<_> = summary.requests.iter().map(|request| request.id).collect();
    assert_eq!(ids, (1..=10).map(|n| n * 100).collect::<Vec<_>>());
    assert_eq!((summary.routes[0].count, summary.routes[0].total.map(|total| total.max)), (1000, Some(2030)));
}

#[test]
fn live_figures() {
    let mut tape = Tape::with_connection();
    tape.receive(1, GET).send(1, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").receive(1, GET);
    let routes = RouteTable::new(&[]).expect("no patterns");
    let mut trace = Trace::new(TraceSettings::new(routes, 1));
    let mut bytes = &tape.bytes[..];
    while let Ok(Some((event, size))) = Event::decode(bytes) {
        trace.record(&event);
        bytes = &bytes[size..];
    }
    let live = trace.live(tape.now);
    assert_eq!(live, Live { requests: 2, errors: 1, p99_ns: Some(30) });
    assert_eq!(trace.live(tape.now + 10_000_000_000).p99_ns, None);
    assert_eq!(trace.finish(tape.now).requests[0].outcome, Outcome::Complete);
}
