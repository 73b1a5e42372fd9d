//! TLS as the client of a traced server sees it: what went over the wire, and the keys by its own log.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ring::{hkdf, hmac};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, KeyLog, RootCertStore, StreamOwned, SupportedCipherSuite};

use crate::run::Server;

/// The package's own server of TLS on rustls with ring: `GET /bytes/N`. With `CERTIFICATE` and `KEY`, both PEM.
pub const TLS_SERVER: Server = Server { package: "beyla-tests", bin: "tls_server" };

/// What a client of PostgreSQL sends to ask for TLS (protocol documentation, `SSLRequest`).
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With TLS.
    AtOnce,
    /// The client asks for TLS first, as those of PostgreSQL do.
    Asks,
    /// With TLS, of which the client sends the first bytes a few at a time.
    InPieces,
}

/// The bytes that are sent [in pieces](Beginning::InPieces), and those of a piece: less than a record's header has.
const IN_PIECES: usize = 12;
const PIECE: usize = 3;
/// Until the server has received a piece.
const PIECE_TAKES: Duration = Duration::from_millis(20);

/// What a client has sent and received on its socket.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// All bytes that it has sent.
    pub sent: Vec<u8>,
    /// All that it has received.
    pub received: Vec<u8>,
}

/// What a client knows of a connection that is over.
#[derive(Debug)]
pub struct Seen {
    /// What went over the wire.
    pub wire: Wire,
    /// All keys of the connection, in no order.
    pub keys: Vec<Vec<u8>>,
}

/// A line of the log of secrets (`SSLKEYLOGFILE`).
#[derive(Debug)]
struct LogLine {
    label: String,
    client_random: Vec<u8>,
    secret: Vec<u8>,
}

/// Those of a connection.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<LogLine>>);

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let (client_random, secret) = (client_random.to_vec(), secret.to_vec());
        self.0.lock().expect("no panic").push(LogLine { label: label.to_owned(), client_random, secret });
    }
}

/// A socket of which all bytes are noted.
#[derive(Debug)]
struct Noted {
    stream: TcpStream,
    wire: Arc<Mutex<Wire>>,
    /// Bytes that are still to be sent in pieces.
    in_pieces: usize,
}

impl Read for Noted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.wire.lock().expect("no panic").received.extend(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Noted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = if self.in_pieces > 0 { bytes.len().min(PIECE) } else { bytes.len() };
        let count = self.stream.write(&bytes[..piece])?;
        if self.in_pieces > 0 {
            self.in_pieces = self.in_pieces.saturating_sub(count);
            thread::sleep(PIECE_TAKES);
        }
        self.wire.lock().expect("no panic").sent.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A client of one suite.
#[derive(Debug)]
pub struct TlsClient {
    suite: SupportedCipherSuite,
    config: Arc<ClientConfig>,
    stream: StreamOwned<ClientConnection, Noted>,
    wire: Arc<Mutex<Wire>>,
    /// Bytes that were received before TLS began.
    plain: usize,
    log: Arc<Log>,
}

impl TlsClient {
    /// Connects.
    pub fn connect(to: SocketAddr, certificate: &str, suite: SupportedCipherSuite, beginning: Beginning) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
        let provider =
            rustls::crypto::CryptoProvider { cipher_suites: vec![suite], ..rustls::crypto::ring::default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[suite.version()])
            .expect("its version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let log = Arc::new(Log::default());
        config.key_log = Arc::clone(&log) as Arc<dyn KeyLog>;
        config.enable_early_data = true;
        Self::connect_with(to, suite, Arc::new(config), log, beginning)
    }

    fn connect_with(
        to: SocketAddr,
        suite: SupportedCipherSuite,
        config: Arc<ClientConfig>,
        log: Arc<Log>,
        beginning: Beginning,
    ) -> Self {
        let wire = Arc::new(Mutex::new(Wire::default()));
        let stream = TcpStream::connect(to).expect("it listens");
        stream.set_nodelay(true).expect("TCP");
        let in_pieces = if beginning == Beginning::InPieces { IN_PIECES } else { 0 };
        let mut socket = Noted { stream, wire: Arc::clone(&wire), in_pieces };
        let plain = usize::from(beginning == Beginning::Asks);
        if beginning == Beginning::Asks {
            socket.write_all(&SSL_REQUEST).expect("it reads");
            let mut answer = [0];
            socket.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"S");
        }
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(&config), name).expect("a client");
        Self { suite, config, stream: StreamOwned::new(connection, socket), wire, plain, log }
    }

    /// Closes the connection, and gets so many bytes on another one that takes up its session: it asks for them before the
    /// handshake is over. Returns what it knows of the two.
    pub fn close_and_get_early(self, to: SocketAddr, count: usize) -> [Seen; 2] {
        let (suite, config) = (self.suite, Arc::clone(&self.config));
        let log = Arc::clone(&self.log);
        let first = self.close();
        log.0.lock().expect("no panic").clear();
        let mut client = Self::connect_with(to, suite, config, log, Beginning::AtOnce);
        let mut early = client.stream.conn.early_data().expect("the session has it");
        early.write_all(request(count).as_bytes()).expect("there is room");
        client.answer(count);
        assert!(client.stream.conn.is_early_data_accepted());
        [first, client.close()]
    }

    /// Gets so many bytes.
    pub fn get(&mut self, count: usize) {
        self.stream.write_all(request(count).as_bytes()).expect("it reads");
        self.answer(count);
    }

    fn answer(&mut self, count: usize) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
        self.stream.read_exact(&mut vec![0; count]).expect("a body");
    }

    /// Says that it has nothing more to say, and waits until the server closes.
    pub fn close(mut self) -> Seen {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("it reads");
        // The server's own goodbye.
        let _ = self.stream.read_to_end(&mut Vec::new());
        let wire = self.wire.lock().expect("no panic").clone();
        let keys = self.keys(&wire);
        Seen { wire, keys }
    }

    /// RFC 8446, section 7.3, and RFC 5246, section 6.3.
    fn keys(&self, wire: &Wire) -> Vec<Vec<u8>> {
        let log = self.log.0.lock().expect("no panic");
        match self.suite {
            SupportedCipherSuite::Tls13(_) => {
                let secrets = log.iter().filter(|line| line.label.contains("TRAFFIC_SECRET"));
                secrets.map(|line| traffic_key(&line.secret)).collect()
            }
            SupportedCipherSuite::Tls12(_) => {
                let line = log.iter().find(|line| line.label == "CLIENT_RANDOM").expect("a secret");
                // Of the ServerHello: behind the headers of the record and the message, and the version.
                let server_random = &wire.received[self.plain..][11..43];
                let seed = [b"key expansion", server_random, &line.client_random].concat();
                let block = expand(&line.secret, &seed, 32);
                vec![block[..16].to_vec(), block[16..32].to_vec()]
            }
        }
    }
}

fn request(count: usize) -> String {
    format!("GET /bytes/{count} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// The key of AES-256 (with SHA-384) or AES-128 (with SHA-256) that a secret of TLS 1.3 stands for.
fn traffic_key(secret: &[u8]) -> Vec<u8> {
    let (algorithm, length) = if secret.len() == 48 { (hkdf::HKDF_SHA384, 32) } else { (hkdf::HKDF_SHA256, 16) };
    let label = [&[0, length as u8, 9][..], b"tls13 key", &[0]].concat();
    let mut key = vec![0; length];
    let secret = hkdf::Prk::new_less_safe(algorithm, secret);
    secret.expand(&[&label], Length(length)).and_then(|key_material| key_material.fill(&mut key)).expect("a length");
    key
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `P_SHA256` of RFC 5246, section 5.
fn expand(secret: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut chained = hmac::sign(&key, seed);
    let mut out = Vec::new();
    while out.len() < length {
        out.extend(hmac::sign(&key, &[chained.as_ref(), seed].concat()).as_ref());
        chained = hmac::sign(&key, chained.as_ref());
    }
    out.truncate(length);
    out
}
