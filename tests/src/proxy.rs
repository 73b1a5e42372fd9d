//! A proxy: it opens connections by CONNECT and by SOCKS 5, forwards whole requests, and remembers what went through.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The ways through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A connection by CONNECT.
    Tunnel,
    /// A request with the whole URL.
    Forwarded,
    /// A connection by SOCKS 5.
    Socks,
}

/// What went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// How.
    pub way: Way,
    /// Where to: host and port.
    pub to: String,
    /// What it was told about who asks.
    pub authorization: Option<String>,
}

/// Listens until the process ends.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Proxy {
    /// On any free port.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// One that lets nobody through, and answers with this status.
    pub fn that_refuses(status: &'static str) -> Self {
        Self::start_with(Some(status))
    }

    fn start_with(refuses: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let passed = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&passed);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let passed = Arc::clone(&shared);
                // Whoever breaks off sends nothing more.
                std::thread::spawn(move || serve(&stream, refuses, &passed));
            }
        });
        Self { address, passed }
    }

    /// What went through so far.
    pub fn passed(&self) -> Vec<Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: &TcpStream, refuses: Option<&str>, passed: &Mutex<Vec<Passed>>) -> io::Result<()> {
    let note = |way, to: &str, authorization| {
        let passage = Passed { way, to: to.to_owned(), authorization };
        passed.lock().unwrap_or_else(PoisonError::into_inner).push(passage);
    };
    let mut reader = BufReader::new(stream.try_clone()?);
    if reader.fill_buf()?.first() == Some(&5) {
        let to = socks(&mut reader, stream)?;
        note(Way::Socks, &to, None);
        return join(reader, stream, &to);
    }
    while let Some(head) = head(&mut reader)? {
        if let Some(status) = refuses {
            return write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let authorization = field(&head, "proxy-authorization").map(str::to_owned);
        if method == "CONNECT" {
            note(Way::Tunnel, target, authorization);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            return join(reader, stream, target);
        }
        let rest = target.strip_prefix("http://").ok_or_else(|| io::Error::other("not the whole URL"))?;
        let (to, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        note(Way::Forwarded, to, authorization);
        let server = TcpStream::connect(to)?;
        (&server).write_all(head.replacen(target, path, 1).as_bytes())?;
        pass_body(&mut reader, &head, &server)?;
        let mut answer = BufReader::new(server);
        let head = self::head(&mut answer)?.unwrap_or_default();
        stream.write_all(head.as_bytes())?;
        pass_body(&mut answer, &head, stream)?;
    }
    Ok(())
}

/// The head of a message, with the empty line that ends it; nothing at the end of the connection.
fn head(reader: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn pass_body(from: &mut impl Read, head: &str, mut to: &TcpStream) -> io::Result<()> {
    let length = field(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    io::copy(&mut from.take(length), &mut to).map(drop)
}

/// RFC 1928, for clients that name no user.
fn socks(reader: &mut impl Read, mut stream: &TcpStream) -> io::Result<String> {
    let mut byte = || {
        let mut byte = [0];
        reader.read_exact(&mut byte).map(|()| byte[0])
    };
    let _version = byte()?;
    for _ in 0..byte()? {
        byte()?;
    }
    stream.write_all(&[5, 0])?;
    let [_version, _connect, _reserved, kind] = [byte()?, byte()?, byte()?, byte()?];
    let host = match kind {
        1 => Ipv4Addr::new(byte()?, byte()?, byte()?, byte()?).to_string(),
        3 => {
            let name = (0..byte()?).map(|_| byte()).collect::<io::Result<Vec<u8>>>()?;
            String::from_utf8_lossy(&name).into_owned()
        }
        _ => return Err(io::Error::other("another kind of address")),
    };
    let port = u16::from_be_bytes([byte()?, byte()?]);
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{host}:{port}"))
}

/// Copies both ways until both are closed.
fn join(mut client: BufReader<TcpStream>, stream: &TcpStream, to: &str) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    let (mut there, mut back, mut client_back) = (server.try_clone()?, server, stream.try_clone()?);
    let up = std::thread::spawn(move || {
        let copied = io::copy(&mut client, &mut there);
        // The other side may be gone.
        let _ = there.shutdown(Shutdown::Write);
        copied
    });
    io::copy(&mut back, &mut client_back)?;
    let _ = client_back.shutdown(Shutdown::Write);
    up.join().expect("it does not panic").map(drop)
}
