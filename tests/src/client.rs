//! A client that is nothing but a socket: what it sends is what the test wrote.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use socket2::SockRef;

use crate::wait::LONG;

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    /// What has come and was not asked for yet.
    buffered: Vec<u8>,
}

trait Stream: Read + Write + Send {
    fn socket(&self) -> SockRef<'_>;
}

impl Stream for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Stream for UnixStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

/// A response, as far as tests need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and header fields, with the empty line.
    pub header: String,
    /// The content, without framing.
    pub body: Vec<u8>,
}

impl Response {
    /// A header field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.header
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// What `latency_lab` says of its handler.
    pub fn handler_us(&self) -> u64 {
        self.field("x-handler-us").and_then(|value| value.parse().ok()).expect("the header x-handler-us")
    }
}

impl Client {
    /// To a port of 127.0.0.1.
    pub fn connect(port: u16) -> Self {
        Self::tcp(("127.0.0.1", port))
    }

    /// To a TCP address.
    pub fn tcp(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        // Each write of a test is to be a segment of its own.
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self::over(stream)
    }

    /// To where a server says it listens: `ADDRESS:PORT`, `unix:PATH` or `unix:@ABSTRACT`.
    pub fn to(name: &str) -> Self {
        match name.strip_prefix("unix:") {
            Some(path) => {
                let address = match path.strip_prefix('@') {
                    Some(name) => SocketAddr::from_abstract_name(name),
                    None => SocketAddr::from_pathname(path),
                };
                Self::over(UnixStream::connect_addr(&address.expect("a path that fits")).expect("the server listens"))
            }
            None => Self::tcp(name.replace("[::]", "127.0.0.1")),
        }
    }

    fn over(stream: impl Stream + 'static) -> Self {
        stream.socket().set_read_timeout(Some(LONG)).expect("a timeout");
        Self { stream: Box::new(stream), buffered: Vec::new() }
    }

    /// Sends, in one call if the socket takes it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
        self
    }

    /// Sends in parts of `size` bytes, one call each.
    pub fn send_in_parts(&mut self, bytes: impl AsRef<[u8]>, size: usize) -> &mut Self {
        for part in bytes.as_ref().chunks(size) {
            self.send(part);
        }
        self
    }

    /// One request without body, and its response.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(get(target)).response()
    }

    /// Reads until `text` has come; takes it and what was before it.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.buffered.windows(text.len()).position(|window| window == text.as_bytes()) {
                let taken = self.buffered.drain(..at + text.len()).collect();
                return String::from_utf8(taken).expect("text");
            }
            assert!(self.more(), "the server closed; so far: {}", String::from_utf8_lossy(&self.buffered));
        }
    }

    /// Reads a number of bytes.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffered.len() < length {
            assert!(self.more(), "the server closed after {} of {length} bytes", self.buffered.len());
        }
        self.buffered.drain(..length).collect()
    }

    /// Reads until the server has closed, in whatever way.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.buffered)
    }

    /// Reads a response, whole.
    pub fn response(&mut self) -> Response {
        let header = self.until("\r\n\r\n");
        let status = header.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut response = Response { status, header, body: Vec::new() };
        if response.field("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.until("\r\n");
                let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
                if size == 0 {
                    while self.until("\r\n") != "\r\n" {}
                    return response;
                }
                response.body.extend(self.exactly(size));
                self.exactly(2);
            }
        }
        if let Some(length) = response.field("content-length") {
            let length = length.parse().expect("a number");
            response.body = self.exactly(length);
        } else if status >= 200 && status != 204 && status != 304 {
            response.body = self.rest();
        }
        response
    }

    /// Closes at once; the server gets a reset.
    pub fn reset(self) {
        self.stream.socket().set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) -> &mut Self {
        self.stream.socket().shutdown(std::net::Shutdown::Write).expect("the connection is open");
        self
    }

    fn more(&mut self) -> bool {
        let mut buffer = vec![0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.buffered.extend_from_slice(&buffer[..read]);
                read > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

/// A request without body.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")
}

/// A request without body that asks the server to close.
pub fn last_get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
}

/// A request with a body of known length.
pub fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("POST {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
    [header.as_bytes(), body].concat()
}
