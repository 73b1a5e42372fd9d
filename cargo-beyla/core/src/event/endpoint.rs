//! The ends of connections: addresses, and the names of Unix sockets.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cargo_beyla_events as records;

use crate::model::connection::Endpoint;

/// The longest name of a Unix socket that is kept, in bytes of UTF-8. `sockaddr_un` has room for 108, of which each takes
/// three where it is no text.
const UNIX_NAME_MAX: usize = 3 * 108;

/// The end of a connection; `path` are the bytes of a Unix socket's name.
pub(super) fn from_endpoint(endpoint: &records::Endpoint, path: &[u8]) -> Endpoint {
    let address = match endpoint.family {
        records::AF_UNIX => return Endpoint::Unix(unix_name(path)),
        records::AF_INET6 => Ipv6Addr::from(endpoint.address).to_canonical(),
        records::AF_INET => {
            let [a, b, c, d, ..] = endpoint.address;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        // No family that a server listens on; the connection is traced all the same.
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    Endpoint::Tcp(SocketAddr::new(address, endpoint.port))
}

/// The reverse of [`from_endpoint`].
pub(super) fn to_endpoint(endpoint: &Endpoint) -> (records::Endpoint, Cow<'_, [u8]>) {
    let mut record = records::Endpoint::NONE;
    match endpoint {
        Endpoint::Unix(name) => {
            record.family = records::AF_UNIX;
            let path = match name.strip_prefix('@') {
                Some(name) => Cow::Owned([b"\0", name.as_bytes()].concat()),
                None => Cow::Borrowed(name.as_bytes()),
            };
            return (record, path);
        }
        Endpoint::Tcp(address) => {
            record.port = address.port();
            match address.ip() {
                IpAddr::V4(ip) => {
                    record.family = records::AF_INET;
                    record.address[..4].copy_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    record.family = records::AF_INET6;
                    record.address = ip.octets();
                }
            }
        }
    }
    (record, Cow::Borrowed(&[]))
}

/// A path ends at its first zero byte, if it has one; an abstract name begins with it and may hold more.
pub(crate) fn unix_name(path: &[u8]) -> String {
    let mut name = match path {
        [0, name @ ..] => {
            let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            format!("@{}", String::from_utf8_lossy(&name[..end]).replace('\0', "@"))
        }
        path => {
            let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(path).into_owned()
        }
    };
    name.truncate(name.floor_char_boundary(UNIX_NAME_MAX));
    name
}
