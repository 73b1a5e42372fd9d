//! The first four handlers of `latency_lab` on actix-web, whose workers are threads with a runtime each. It speaks HTTP/1,
//! and HTTP/2 without TLS.
//!
//! `PORT` takes another port than 8084, 0 any free one; `WORKERS` sets the number of workers.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use actix_web::web::Query;
use actix_web::{App, HttpResponse, HttpServer, Responder, get, rt};

/// Of `?ms=`.
type Time = Query<BTreeMap<String, u64>>;

fn duration(time: &Time) -> Duration {
    Duration::from_millis(time.get("ms").copied().unwrap_or(0))
}

/// With the handler's own measure of its time.
fn answer(start: Instant, body: &'static str) -> impl Responder {
    HttpResponse::Ok().insert_header(("x-handler-us", format!("{:09}", start.elapsed().as_micros()))).body(body)
}

#[get("/fast")]
async fn fast() -> impl Responder {
    answer(Instant::now(), "fast\n")
}

#[get("/sleep")]
async fn sleep(time: Time) -> impl Responder {
    let start = Instant::now();
    rt::time::sleep(duration(&time)).await;
    answer(start, "slept\n")
}

#[get("/block")]
async fn block(time: Time) -> impl Responder {
    let start = Instant::now();
    std::thread::sleep(duration(&time));
    answer(start, "blocked\n")
}

#[get("/spin")]
async fn spin(time: Time) -> impl Responder {
    let start = Instant::now();
    let end = start + duration(&time);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    answer(start, "spun\n")
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let number = |name: &str, otherwise: u16| match std::env::var(name) {
        Ok(text) => text.parse().map_err(io::Error::other),
        Err(_) => Ok(otherwise),
    };
    let (port, workers) = (number("PORT", 8084)?, number("WORKERS", 2)?);
    let app = || App::new().service(fast).service(sleep).service(block).service(spin);
    let server = HttpServer::new(app).workers(workers.into()).bind_auto_h2c(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    server.run().await
}
