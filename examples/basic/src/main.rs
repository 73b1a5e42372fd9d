//! The actix-web server of Grafana's article on Beyla and Rust: `GET /hello` on 127.0.0.1:8080.
//!
//! Nothing in it knows of tracing. `PORT` takes another port, 0 any free one.

use std::io;

use actix_web::{App, HttpServer, Responder, get};

#[get("/hello")]
async fn hello() -> impl Responder {
    "Hello world! from beyla-rust"
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let port = match std::env::var("PORT") {
        Ok(port) => port.parse().map_err(io::Error::other)?,
        Err(_) => 8080,
    };
    let server = HttpServer::new(|| App::new().service(hello)).bind(("127.0.0.1", port))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    server.run().await
}
