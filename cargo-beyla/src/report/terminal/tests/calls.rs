//! Calls: the table of all, and the story of each request.

use insta::assert_snapshot;

use super::{fixtures, rendered};
use crate::report::terminal::Width;
use crate::report::text;
use cargo_beyla_core::model::request::Outcome;

#[test]
fn calls_stand_beneath_their_requests() {
    assert_snapshot!(rendered(&fixtures::calling(), 120), @"
    3 requests in 2.31 s (1.30/s), no errors, 2 connections, 60 outbound calls
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first; phases as their mean share
      method  route         count  errors     p50      p90      p99      max  queue  receive  handle  respond
      GET     /orders/{id}      3       0  892 µs  1.24 ms  2.10 ms  12.0 ms    12%       0%     80%       8%

    Calls, the most time first
      call                      peer                  count  errors      p50      p99  per request
      http GET /rates/{id}      127.0.0.1:9000            5       0  10.0 ms  10.0 ms          2.5
      postgresql SELECT items   127.0.0.1:5432           48       0   900 µs   900 µs           48
        up to 48 in one request: one statement can do all (JOIN, = ANY, unnest)
      postgresql SELECT orders  127.0.0.1:5432            1       0  3.60 ms  3.60 ms            1
      grpc /shop.Stock/Check    127.0.0.1:9000            1       1  2.00 ms  2.00 ms            1
      tcp                       127.0.0.1:9000            1       0  1.00 ms  1.00 ms            1
      postgresql SELECT jobs    127.0.0.1:5432            1       0   700 µs   700 µs            -
      redis GET                 unix:/run/redis.sock      1       0   400 µs   400 µs            1
      tcp connect               127.0.0.1:9000            1       1        -        -            1
        nothing listens there (ECONNREFUSED)
      redis BLPOP               unix:/run/redis.sock      1       0        -        -            -

    Every request, in order
      #        at    total    queue  receive   handle  respond  body in  body out  status  request
      1  +0.100 s  60.1 ms  10.0 µs     0 ns  60.0 ms  50.0 µs      0 B      28 B  200     GET /orders/7
          +510 µs  3.60 ms  postgresql SELECT orders  127.0.0.1:5432
         +5.01 ms   400 µs  redis GET  unix:/run/redis.sock
         +6.01 ms  8.00 ms  http GET /rates/{id}  127.0.0.1:9000  200
         +15.0 ms  2.00 ms  grpc /shop.Stock/Check  127.0.0.1:9000  UNAVAILABLE
         +18.0 ms  1.00 ms  tcp  127.0.0.1:9000  pickup 800 µs
      2  +0.200 s  60.1 ms  10.0 µs     0 ns  60.0 ms  50.0 µs      0 B      28 B  200     GET /orders/7
         +1.01 ms  36.9 ms  41 × postgresql SELECT items  127.0.0.1:5432  one after the other
         +45.0 ms  10.0 ms  4 × http GET /rates/{id}  127.0.0.1:9000  in parallel  200  likely
         and 7 more calls
      3  +0.300 s  60.1 ms  10.0 µs     0 ns  60.0 ms  50.0 µs      0 B      28 B  200     GET /orders/7
         +1.01 ms  80.0 µs  tcp connect  127.0.0.1:9000  ECONNREFUSED

    Not in this report
      - 1 connection that the server opened spoke TLS by a library whose keys were not seen: of calls on
        them, times and sizes are all that is known. What can be read is rustls with aws-lc-rs or ring,
        OpenSSL and BoringSSL, unless --no-tls is given.
      - 2 calls are under no request: of some it is not known which request made them, and tasks beside
        the requests make others. --explain tells more of them.
      - 7 calls are counted, and not listed one by one.
    ");
}

#[test]
fn calls_on_a_narrow_terminal() {
    let text = rendered(&fixtures::calling(), 80);
    assert!(text.lines().all(|line| text::width(line) <= 80), "{text}");
    assert_snapshot!(text, @"
    3 requests in 2.31 s (1.30/s), no errors, 2 connections, 60 outbound calls
    server, pid 4242, on 127.0.0.1:8080

    Routes, the most time first
      method  route         count  errors     p50      p90      p99      max
      GET     /orders/{id}      3       0  892 µs  1.24 ms  2.10 ms  12.0 ms

    Mean share of each phase
      method  route         queue  receive  handle  respond
      GET     /orders/{id}    12%       0%     80%       8%

    Calls, the most time first
      call                      peer   count      p50      p99  /request
      http GET /rates/{id}      :9000      5  10.0 ms  10.0 ms       2.5
      postgresql SELECT items   :5432     48   900 µs   900 µs        48
        up to 48 in one request: one statement can do all (JOIN, = ANY, unnest)
      postgresql SELECT orders  :5432      1  3.60 ms  3.60 ms         1
      grpc /shop.Stock/Check    :9000      1  2.00 ms  2.00 ms         1
        1 failed
      tcp                       :9000      1  1.00 ms  1.00 ms         1
      postgresql SELECT jobs    :5432      1   700 µs   700 µs         -
      redis GET                            1   400 µs   400 µs         1
        unix:/run/redis.sock
      tcp connect               :9000      1        -        -         1
        1 failed: nothing listens there (ECONNREFUSED)
      redis BLPOP                          1        -        -         -
        unix:/run/redis.sock

    Every request, in order    ░ queue  < receive  █ handle  > respond
      #        at    total  phases        status  request
      1  +0.100 s  60.1 ms  ████████████  200     GET /orders/7
          +510 µs  3.60 ms  ━             postgresql SELECT orders  127.0.0.1:5432
         +5.01 ms   400 µs   ━            redis GET  unix:/run/redis.sock
         +6.01 ms  8.00 ms   ━            http GET /rates/{id}  127.0.0.1:9000  200
         +15.0 ms  2.00 ms    ━           grpc /shop.Stock/Check  UNAVAILABLE
         +18.0 ms  1.00 ms     ━          tcp  127.0.0.1:9000  pickup 800 µs
      2  +0.200 s  60.1 ms  ████████████  200     GET /orders/7
         +1.01 ms  36.9 ms  ━━━━━━━━      41 × postgresql SELECT items
                                            one after the other
         +45.0 ms  10.0 ms          ━━    4 × http GET /rates/{id}  in parallel  200
                                            likely
         and 7 more calls
      3  +0.300 s  60.1 ms  ████████████  200     GET /orders/7
         +1.01 ms  80.0 µs  ━             tcp connect  127.0.0.1:9000  ECONNREFUSED

    Not in this report
      - 1 connection that the server opened spoke TLS by a library whose keys were
        not seen: of calls on them, times and sizes are all that is known. What can
        be read is rustls with aws-lc-rs or ring, OpenSSL and BoringSSL, unless
        --no-tls is given.
      - 2 calls are under no request: of some it is not known which request made
        them, and tasks beside the requests make others. --explain tells more of
        them.
      - 7 calls are counted, and not listed one by one.
    ");
}

#[test]
fn the_longest_of_many_are_shown_in_their_order() {
    let mut summary = fixtures::calling();
    for (n, call) in summary.calls.iter_mut().take(46).skip(5).enumerate() {
        std::sync::Arc::make_mut(call).summary = format!("SELECT t{n}").into();
    }
    let text = rendered(&summary, 120);
    let shown: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("postgresql SELECT t")).map(|(_, n)| n).collect();
    assert!(shown.len() < 10 && text.contains("and 41 more calls"), "{shown:?} {text}");
}

#[test]
fn an_answer_that_broke_off_is_told_beside_its_status() {
    let mut summary = fixtures::calling();
    let rate = summary.calls.iter_mut().find(|call| &*call.summary == "GET /rates/{id}").expect("a call");
    let rate = std::sync::Arc::make_mut(rate);
    (rate.outcome, rate.is_error) = (Outcome::ServerClosed, true);
    let text = rendered(&summary, 120);
    assert!(text.contains("http GET /rates/{id}  127.0.0.1:9000  200  closed by the peer"), "{text}");
}

#[test]
fn without_calls_there_is_no_word_of_them() {
    let text = rendered(&fixtures::healthy(), Width::of(None).columns);
    assert!(!text.to_lowercase().contains("call"), "{text}");
}
