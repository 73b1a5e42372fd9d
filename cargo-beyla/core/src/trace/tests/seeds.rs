//! What the fuzzer begins with.

use super::*;
use crate::event_builder::own;

/// Run by hand, with `--ignored`, when the records change: the fuzzer begins with what these hold.
#[test]
#[ignore = "writes fuzz/seeds"]
fn seeds_of_the_fuzzer() {
    let explain: Build = |events| {
        events.explain().running(7).receive(1, GET).spawned(200).spawned_blocking(900).pause(1_000_000).idle(7);
        events.on(2).running(900).falls_asleep(1, true).sleep(0, 20_000_000, 5).woken(7).terminal(900);
        events.on(3).running(200).preempted(2_000_000).sample(2).woken(7).idle(200);
        events.on(1).running(7).send(1, OK).send_blocked(1).receive(1, GET).sleep(1, 30_000_000, 0).send(1, OK).idle(7);
        events.stack_frames(1, &[own("f", "a.rs", 3)]).task_type(1002, "app::work")
    };
    let explain_by_sight: Build = |events| {
        events.explain_by_sight().in_task(3).spawns(7).in_task(7).receive(1, GET).pause(1_000_000).tick().sample(2);
        events.falls_asleep(1, true).sleep(0, 20_000_000, 5).preempted(2_000_000).send(1, OK).window_opens();
        events.running(7).receive(1, GET).pause(9).idle(7).woken(7).window_closes().running(8).in_task(8).tick();
        events.in_task(7).send(1, OK).stack_frames(1, &[own("f", "a.rs", 3)])
    };
    let seeds: [(&str, Build); 12] = [
        ("keep-alive", |events| {
            events.receive(1, GET).send(1, OK).receive(1, GET).send(1, OK).client_closes(1).over(1)
        }),
        ("pipelined", |events| events.receive(1, [GET, GET, GET].concat()).send(1, [OK, OK].concat()).send(1, OK)),
        ("chunked", |events| {
            events.receive(1, CHUNKED_POST).send(1, CHUNKED).send(1, "0\r\n\r\n").server_closes(1).over(1)
        }),
        ("until-close", |events| {
            events.receive(1, GET).client_closes(1).send(1, "HTTP/1.0 200 OK\r\n\r\nsome").over(1)
        }),
        ("upgrade", |events| {
            events.receive(1, "GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n\x01").send(1, "HTTP/1.1 101 S\r\n\r\n\x01")
        }),
        ("continue", |events| {
            events.receive(1, POST_1000).send(1, "HTTP/1.1 100 Continue\r\n\r\n").unseen(Up, 1, 1000).send(1, OK)
        }),
        ("gaps", |events| {
            events.receive(1, "GET / HT").unseen(Up, 1, 9).receive(1, GET).unseen(Down, 1, 9).send(1, OK).reset(1)
        }),
        ("framing-lost", |events| {
            events.receive(1, GET).send(1, CHUNKED).transfer(Down, 1, &[b'x'; 99], 9).send(1, "xx\r\n0\r\n\r\n").over(1)
        }),
        ("unix", |events| {
            events.open_unix(2, "/run/a.sock").receive(2, GET).send(2, OK).end_of_stream(2).lost(1).io_uring()
        }),
        ("pieces", |events| {
            let post = [POST_1000, &"x".repeat(1000)].concat();
            events.transfer_in_pieces(Up, 1, post.as_bytes(), &[0..9, 9..300, 1000..1016]).send(1, OK)
        }),
        ("explain", explain),
        ("explain-by-sight", explain_by_sight),
    ];
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/records");
    std::fs::create_dir_all(&directory).expect("a directory");
    for (name, build) in seeds {
        let mut events = EventBuilder::with_connection();
        build(events.listen(8080));
        std::fs::write(directory.join(name), &events.bytes).expect("a file");
    }
}
