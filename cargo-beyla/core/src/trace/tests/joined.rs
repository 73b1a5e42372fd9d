//! Connections that were open before anybody watched.

use super::*;
use crate::model::tls_summary::Unreadable;

fn joined(build: impl FnOnce(&mut EventBuilder) -> &mut EventBuilder) -> Summary {
    let mut events = EventBuilder::new();
    build(events.join(1)).client_closes(1).over(1);
    events.summary()
}

fn paths(summary: &Summary) -> Vec<String> {
    summary.requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[test]
fn an_idle_connection_tells_its_next_request() {
    let summary = joined(|events| events.receive(1, GET).send(1, OK));
    assert_eq!((paths(&summary), summary.unseen), (vec!["GET /a".to_owned()], Unseen::default()));
}

#[test]
fn the_rest_of_a_body_is_no_part_of_a_request() {
    for rest in ["67890", "secret_token_", "user=a&passwd=b", "\r\n"] {
        let summary = joined(|events| events.receive(1, rest).send(1, OK).receive(1, GET).send(1, OK));
        assert_eq!((paths(&summary), summary.unseen), (vec!["GET /a".to_owned()], Unseen::default()), "{rest}");
    }
}

#[test]
fn the_rest_of_a_head_is_none_either() {
    let rest = "t: x\r\nCookie: a=b\r\n\r\n";
    let summary = joined(|events| events.receive(1, rest).send(1, OK).receive(1, GET).send(1, OK));
    assert_eq!((paths(&summary), summary.unseen), (vec!["GET /a".to_owned()], Unseen::default()));
}

#[test]
fn the_rest_of_a_response_is_no_other_protocol() {
    let summary = joined(|events| events.send(1, "rest of a download").send(1, "more").receive(1, GET).send(1, OK));
    assert_eq!((paths(&summary), summary.unseen), (vec!["GET /a".to_owned()], Unseen::default()));
}

#[test]
fn a_connection_without_any_request_is_counted() {
    let summary = joined(|events| events.receive(1, "\x17\x03\x03 what TLS looks like").send(1, "\x17\x03\x03"));
    assert_eq!(summary.unseen, Unseen { tls_connections: 1, ..Unseen::default() });
    assert_eq!(summary.tls.unread[0].reason, Unreadable::OpenBefore);
    assert!(summary.requests.is_empty());
    let idle = joined(|events| events);
    assert_eq!(idle.unseen, Unseen::default());
}
