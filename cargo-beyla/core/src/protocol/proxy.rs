//! The header that a proxy may send before all else, to say whose connection it passes on: the PROXY protocol,
//! versions 1 and 2 (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! It is read from its beginning alone, so that no more than [`READ_MAX`] bytes are ever held: what the second
//! version adds to the addresses may have 64 KiB, and says nothing that is reported.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::event::unix_name;
use crate::model::connection::Endpoint;

/// The longest first version, with the end of its line: section 2.1.
const LINE_MAX: usize = 107;

const LINE: &[u8] = b"PROXY ";

/// What the second version begins with: section 2.2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The second version up to its addresses.
const FIXED: usize = 16;

/// The longest addresses: two paths of Unix sockets.
const ADDRESSES_MAX: usize = 2 * UNIX;

/// Bytes of the path of a Unix socket.
const UNIX: usize = 108;

/// A header is known once this many of its bytes are, in bytes.
pub const READ_MAX: usize = FIXED + ADDRESSES_MAX;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// No such header.
    None,
    /// They can become one.
    Partial,
    /// One.
    Header {
        /// Bytes of it; some may not have come yet.
        length: usize,
        /// Who sends what follows it; `None` where it does not say so, and the other end of the socket does.
        client: Option<Endpoint>,
    },
}

/// Whether a connection begins so, by its first bytes; they may be too few to tell.
pub fn may_begin(bytes: &[u8]) -> bool {
    [LINE, &SIGNATURE].iter().any(|start| {
        let length = bytes.len().min(start.len());
        bytes[..length] == start[..length]
    })
}

/// Whether a connection begins so.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(LINE) || bytes.starts_with(&SIGNATURE)
}

/// Reads the first bytes of a connection.
pub fn read(bytes: &[u8]) -> Read {
    if bytes.starts_with(LINE) {
        read_line(bytes)
    } else if bytes.starts_with(&SIGNATURE) {
        read_binary(bytes)
    } else if may_begin(bytes) {
        Read::Partial
    } else {
        Read::None
    }
}

fn read_line(bytes: &[u8]) -> Read {
    let within = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = within.windows(2).position(|window| window == b"\r\n") else {
        return if bytes.len() < LINE_MAX { Read::Partial } else { Read::None };
    };
    let length = end + 2;
    let line = std::str::from_utf8(&bytes[LINE.len()..end]).unwrap_or_default();
    if line.split(' ').next() == Some("UNKNOWN") {
        return Read::Header { length, client: None };
    }
    client_of_line(line).map_or(Read::None, |client| Read::Header { length, client: Some(client) })
}

/// `TCP4 192.0.2.7 192.0.2.1 50000 443`
fn client_of_line(line: &str) -> Option<Endpoint> {
    let mut fields = line.split(' ');
    let family = fields.next()?;
    let (source, destination) = (fields.next()?, fields.next()?);
    let ports = [fields.next()?, fields.next()?];
    let addresses = [source, destination];
    let is_of_family = |address: &&str| match family {
        "TCP4" => IpAddr::from_str(address).is_ok_and(|address| address.is_ipv4()),
        "TCP6" => IpAddr::from_str(address).is_ok_and(|address| address.is_ipv6()),
        _ => false,
    };
    if fields.next().is_some() || !addresses.iter().all(is_of_family) {
        return None;
    }
    let [port, _] = ports.map(|port| u16::from_str(port).ok());
    let address = IpAddr::from_str(source).ok()?.to_canonical();
    Some(Endpoint::Tcp(SocketAddr::new(address, port?)))
}

fn read_binary(bytes: &[u8]) -> Read {
    let Some([version_and_command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Read::Partial;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Read::None,
    };
    // The family in the upper half, stream or datagram in the lower one.
    let size = match family >> 4 {
        1 => 2 * (4 + 2),
        2 => 2 * (16 + 2),
        3 => ADDRESSES_MAX,
        _ => 0,
    };
    let header = |client| Read::Header { length: FIXED + length, client };
    // What a proxy sends by itself, to see whether the server is well, is its own.
    if local || size == 0 {
        return header(None);
    }
    if length < size {
        return Read::None;
    }
    let Some(addresses) = bytes.get(FIXED..FIXED + size) else { return Read::Partial };
    header(client_of_addresses(addresses))
}

/// The first of two addresses of one kind, which their size tells; the ports stand behind both.
fn client_of_addresses(addresses: &[u8]) -> Option<Endpoint> {
    if addresses.len() == ADDRESSES_MAX {
        let source = &addresses[..UNIX];
        let has_name = source.iter().any(|byte| *byte != 0);
        return Some(Endpoint::Unix(if has_name { unix_name(source) } else { String::new() }));
    }
    let (address, ports): (IpAddr, &[u8]) = if let Some(([v4, _], ports)) = two::<4>(addresses)
        && ports.len() == 4
    {
        (v4.into(), ports)
    } else {
        let ([v6, _], ports) = two::<16>(addresses)?;
        (Ipv6Addr::from(v6).to_canonical(), ports)
    };
    let port = u16::from_be_bytes(*ports.first_chunk()?);
    Some(Endpoint::Tcp(SocketAddr::new(address, port)))
}

fn two<const SIZE: usize>(bytes: &[u8]) -> Option<([[u8; SIZE]; 2], &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    Some(([*first, *second], rest))
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
