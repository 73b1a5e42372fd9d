//! TLS on rustls with ring, a thread a connection: `GET /bytes/N` answers with so many bytes. A client may ask for TLS
//! first, as those of PostgreSQL do, and ask before the handshake is over where it takes up a session.
//!
//! `CERTIFICATE` and `KEY` are what it shows, in PEM. With `TICKETS=0` it gives out no tickets of TLS 1.3, so that its
//! answers are the first that it encrypts by their key. `PORT` takes another port than 8085, 0 any free one.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use beyla_tests::tls::SSL_REQUEST;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The most that a client may send before the handshake is over, in bytes.
const EARLY_MAX: u32 = 16 * 1024;

fn main() -> io::Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(io::Error::other);
    let certificate = CertificateDer::from_pem_slice(variable("CERTIFICATE")?.as_bytes()).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(variable("KEY")?.as_bytes()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(io::Error::other)?;
    if std::env::var("TICKETS").is_ok_and(|tickets| tickets == "0") {
        config.send_tls13_tickets = 0;
    }
    config.max_early_data_size = EARLY_MAX;
    let config = Arc::new(config);
    let port = variable("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8085);
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let (stream, config) = (stream?, Arc::clone(&config));
        // A client that is gone needs no answer.
        std::thread::spawn(move || drop(serve(stream, config)));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first)?;
    if first[0] == SSL_REQUEST[0] {
        stream.read_exact(&mut [0; SSL_REQUEST.len()])?;
        stream.write_all(b"S")?;
    }
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let mut received = Vec::new();
    if let Some(mut early) = stream.conn.early_data() {
        early.read_to_end(&mut received)?;
    }
    loop {
        if received.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received);
            let count =
                head.strip_prefix("GET /bytes/").and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n{}", "x".repeat(count));
            stream.write_all(answer.as_bytes())?;
            received.clear();
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            stream.conn.send_close_notify();
            return stream.flush();
        }
        received.extend(&buffer[..count]);
    }
}
