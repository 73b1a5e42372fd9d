//! What the two hellos of a handshake say: RFC 8446, section 4.1, and for TLS 1.2 RFC 5246, section 7.4.1.
//!
//! Both come from the network, so no length in them is trusted. This is own code, because the crates that parse TLS bring
//! a parser generator or all of TLS with them, and six fields are wanted.

use std::sync::Arc;

use crate::model::tls::{CipherSuite, Version};

/// The most bytes of a name that are kept: a host has 253 at most.
const NAME_MAX: usize = 255;

/// `server_name`, `application_layer_protocol_negotiation`, `pre_shared_key`, `early_data`, `supported_versions`.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

/// The random number by which a server's hello says that the client shall begin again: RFC 8446, section 4.1.3.
pub(super) const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The client's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    pub(super) server_name: Option<Arc<str>>,
    /// Names the session that it wants to take up. In TLS 1.3 it means nothing.
    pub(super) session: Box<[u8]>,
    /// Whether it sends data that it does not wait for the server with.
    pub(super) has_early_data: bool,
}

/// The server's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) version: Version,
    pub(super) cipher: CipherSuite,
    pub(super) alpn: Option<Arc<str>>,
    pub(super) session: Box<[u8]>,
    /// Whether it takes up the session of a key that the client has proposed. Only TLS 1.3.
    pub(super) takes_key: bool,
    /// Whether the client shall begin again.
    pub(super) is_retry: bool,
}

impl ClientHello {
    /// From the body of the message; `None` if it is none.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut input = Input(body);
        input.take(2 + 32)?;
        let session = input.vector8()?.into();
        let _suites = input.vector16()?;
        let _compression = input.vector8()?;
        let mut hello = Self { session, ..Self::default() };
        for (kind, mut data) in input.extensions() {
            match kind {
                SERVER_NAME => hello.server_name = data.server_name(),
                EARLY_DATA => hello.has_early_data = true,
                _ => {}
            }
        }
        Some(hello)
    }
}

impl ServerHello {
    /// From the body of the message; `None` if it is none.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut input = Input(body);
        let version = Version(input.u16()?);
        let is_retry = input.take(32)? == RETRY;
        let session = input.vector8()?.into();
        let cipher = CipherSuite(input.u16()?);
        input.take(1)?;
        let mut hello = Self { version, cipher, alpn: None, session, takes_key: false, is_retry };
        for (kind, mut data) in input.extensions() {
            match kind {
                SUPPORTED_VERSIONS => hello.version = data.u16().map_or(version, Version),
                PRE_SHARED_KEY => hello.takes_key = true,
                ALPN => hello.alpn = data.protocol(),
                _ => {}
            }
        }
        Some(hello)
    }
}

/// The application protocol that the server has chosen, from the body of its `EncryptedExtensions`.
pub(super) fn chosen_protocol(body: &[u8]) -> Option<Arc<str>> {
    Input(body).extensions().find(|(kind, _)| *kind == ALPN).and_then(|(_, mut data)| data.protocol())
}

/// What is still to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*taken))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// The extensions that are whole.
    fn extensions(&mut self) -> impl Iterator<Item = (u16, Input<'a>)> + use<'a> {
        let mut input = Input(self.vector16().unwrap_or_default());
        std::iter::from_fn(move || Some((input.u16()?, Input(input.vector16()?))))
    }

    /// Of a list of names the first, which is a host.
    fn server_name(&mut self) -> Option<Arc<str>> {
        let mut list = Input(self.vector16()?);
        (list.take(1)? == [0]).then(|| text(list.vector16()?)).flatten()
    }

    /// Of a list of protocols the first.
    fn protocol(&mut self) -> Option<Arc<str>> {
        text(Input(self.vector16()?).vector8()?)
    }
}

/// A name of printable ASCII. Others cannot be hosts, and no library has such protocols except to test its peers.
fn text(bytes: &[u8]) -> Option<Arc<str>> {
    let is_name = !bytes.is_empty() && bytes.len() <= NAME_MAX && bytes.iter().all(u8::is_ascii_graphic);
    str::from_utf8(bytes).ok().filter(|_| is_name).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(size: usize, bytes: &[u8]) -> Vec<u8> {
        [&bytes.len().to_be_bytes()[8 - size..], bytes].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), vector(2, data)].concat()
    }

    fn client_hello() -> Vec<u8> {
        let name = [vec![0], vector(2, b"example.org")].concat();
        let extensions = [extension(10, &[0; 4]), extension(SERVER_NAME, &vector(2, &name))].concat();
        [vec![3, 3], vec![7; 32], vector(1, &[9; 32]), vector(2, &[0x13, 1]), vector(1, &[0]), vector(2, &extensions)]
            .concat()
    }

    fn server_hello() -> Vec<u8> {
        let alpn = extension(ALPN, &vector(2, &vector(1, b"h2")));
        let extensions = [extension(SUPPORTED_VERSIONS, &[3, 4]), extension(PRE_SHARED_KEY, &[0, 0]), alpn].concat();
        [vec![3, 3], vec![7; 32], vector(1, &[]), vec![0x13, 2], vec![0], vector(2, &extensions)].concat()
    }

    #[test]
    fn hellos_say_what_is_wanted() {
        let client = ClientHello::parse(&client_hello()).expect("a hello");
        assert_eq!((client.server_name.as_deref(), &*client.session), (Some("example.org"), &[9; 32][..]));
        let server = ServerHello::parse(&server_hello()).expect("a hello");
        assert_eq!((server.version, server.cipher), (Version::TLS_1_3, CipherSuite(0x1302)));
        assert_eq!((server.alpn.as_deref(), server.takes_key, server.is_retry), (Some("h2"), true, false));
    }

    #[test]
    fn a_name_that_could_break_a_terminal_is_no_name() {
        assert_eq!(text(b"a\x1b[2Jb"), None);
        assert_eq!(text(&[b'a'; 256]), None);
        assert_eq!(text(b"http/1.1").as_deref(), Some("http/1.1"));
    }

    proptest! {
        #[test]
        fn a_hello_may_be_cut_and_changed_anywhere(
            cut in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            for mut body in [client_hello(), server_hello()] {
                let place = at.index(body.len());
                body[place] = byte;
                body.truncate(cut.index(body.len() + 1));
                let _ = (ClientHello::parse(&body), ServerHello::parse(&body), chosen_protocol(&body));
            }
        }
    }
}
