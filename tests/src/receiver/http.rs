//! OTLP/HTTP, one connection at a time.

use std::io::{self, BufRead as _, BufReader, Read, Write};

use flate2::read::GzDecoder;

use super::{Mode, Received, Store};

/// Serves until the client closes, or nothing is to be answered.
pub(super) fn serve(stream: impl Read + Write, store: &Store) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(received) = message(&mut reader)? {
        match store.take(received) {
            Mode::Take | Mode::Forget => reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")?,
            Mode::Refuse => {
                reader.get_mut().write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
            }
            // What else it sends is not read; the connection stays.
            Mode::Silent => loop {
                std::thread::park();
            },
        }
    }
    Ok(())
}

fn message(reader: &mut BufReader<impl Read>) -> io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut received = Received { path, fields: Vec::new(), body: Vec::new() };
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.trim().split_once(':') else { break };
        received.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = received.field("content-length").unwrap_or("0").parse().map_err(io::Error::other)?;
    received.body = vec![0; length];
    reader.read_exact(&mut received.body)?;
    if received.field("content-encoding") == Some("gzip") {
        let mut decoded = Vec::new();
        GzDecoder::new(&received.body[..]).read_to_end(&mut decoded)?;
        received.body = decoded;
    }
    Ok(Some(received))
}
