//! As much of HTTP/1.1 as requests without bodies need.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Answers one request after the other until the client closes. `handle` gets the path and the time
/// of `?ms=`, and returns the body, or `None` where there is nothing at the path.
pub(crate) fn serve(connection: &TcpStream, handle: impl Fn(&str, Duration) -> Option<&'static str>) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(connection), connection);
    loop {
        let Some(target) = read_request(&mut reader)? else { return Ok(()) };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let ms = query.strip_prefix("ms=").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let start = Instant::now();
        let (status, body) = match handle(path, Duration::from_millis(ms)) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", ""),
        };
        let micros = start.elapsed().as_micros();
        let response =
            format!("HTTP/1.1 {status}\r\nx-handler-us: {micros:09}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        // One call, or the kernel would hold the second until the client has acknowledged the first.
        writer.write_all(response.as_bytes())?;
    }
}

/// The target of the next request; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
    }
    Ok(first.split(' ').nth(1).map(str::to_owned))
}
