//! What holds for events in any order, and for any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::event_builder::EventBuilder;
use crate::replay::summary_of;
use crate::transport::segment::Direction;

/// Something that the kernel may tell, in an order that it may not.
#[derive(Clone, Debug)]
enum Step {
    Open(u64),
    Move(bool, u64, Vec<u8>, usize),
    Unseen(bool, u64, u32),
    Close(u64, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let text = select(vec![
        "GET /a?b HTTP/1.1\r\n\r\n",
        "GET /a HTTP/9.9\r\n\r\n",
        "PUT /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        "PUT /1 HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0d0123456789abc",
        "POST /1 HTTP/1.1\r\nContent-Length: 10\r\n\r\n",
        "PUT /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\n\r\n",
        "HEAD / HTTP/1.0\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 101 Upgrade\r\n\r\n",
        "0123456789",
        "a\r\n0123456789\r\n",
        "0\r\n\r\n",
        "\r\n",
        "G",
        "HTTP/1.",
    ]);
    let bytes = prop_oneof![
        9 => vec(text, 1..4).prop_map(|texts| texts.concat().into_bytes()),
        1 => vec(any::<u8>(), 0..40),
    ];
    let connection = 1..4u64;
    prop_oneof![
        1 => connection.clone().prop_map(Step::Open),
        8 => (any::<bool>(), connection.clone(), bytes, prop_oneof![4 => Just(usize::MAX), 1 => 0..40usize])
            .prop_map(|(up, connection, bytes, most)| Step::Move(up, connection, bytes, most)),
        1 => (any::<bool>(), connection.clone(), 1..50u32)
            .prop_map(|(up, connection, length)| Step::Unseen(up, connection, length)),
        1 => (connection, 0..5u8).prop_map(|(connection, how)| Step::Close(connection, how)),
    ]
}

fn events_of(steps: &[Step]) -> EventBuilder {
    let direction = |up| {
        if up { Direction::Request } else { Direction::Response }
    };
    let mut events = EventBuilder::new();
    for connection in 1..4 {
        events.open(connection);
    }
    for step in steps {
        match step {
            Step::Open(connection) => events.open(*connection),
            Step::Move(up, connection, bytes, most) => events.transfer(direction(*up), *connection, bytes, *most),
            Step::Unseen(up, connection, length) => events.unseen(direction(*up), *connection, *length),
            Step::Close(connection, 0) => events.client_closes(*connection),
            Step::Close(connection, 1) => events.server_closes(*connection),
            Step::Close(connection, 2) => events.over(*connection),
            Step::Close(connection, 3) => events.reset(*connection),
            Step::Close(connection, _) => events.end_of_stream(*connection),
        };
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_kernel_tells_the_phases_sum_to_the_total(steps in vec(step(), 0..60)) {
        events_of(&steps).summary();
    }

    #[test]
    fn damaged_records_do_no_harm(
        steps in vec(step(), 1..30),
        damage in vec((any::<Index>(), any::<u8>()), 1..20),
        now in prop_oneof![Just(0), any::<u64>()],
    ) {
        let mut events = events_of(&steps);
        for (place, byte) in damage {
            let place = place.index(events.bytes.len());
            events.bytes[place] = byte;
        }
        summary_of(&events.bytes, now, 5);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..500)) {
        summary_of(&bytes, 0, 5);
    }
}
