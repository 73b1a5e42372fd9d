//! Connections and the sockets on which they are accepted.

use std::fmt;
use std::net::SocketAddr;

use crate::model::test::TestId;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// TCP over IPv4 or IPv6; an IPv4 address mapped into IPv6 is shown as IPv4.
    Tcp(SocketAddr),
    /// A Unix socket: its path, an abstract name with a leading `@`, or empty if it has none.
    Unix(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) if path.is_empty() => formatter.write_str("unix:"),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
        }
    }
}

/// A socket on which the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub local: Endpoint,
    /// Whether it listens on addresses of IPv6 alone, and not on those of IPv4 as well.
    pub ipv6_only: bool,
    /// Whether it listened before the server began, which was given it.
    pub before: bool,
    /// The process that listens, if it is not the one that was started.
    pub pid: Option<u32>,
}

/// A connection that the server accepted, shared by its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Counts from 1 in the order in which the server touched them.
    pub id: u64,
    /// The server's end.
    pub server: Endpoint,
    /// The client's end; behind a proxy that speaks the PROXY protocol, what that says of it.
    pub client: Endpoint,
    /// Such a proxy's end.
    pub proxy: Option<Endpoint>,
    /// Whose it is, in a run that traces several processes.
    pub owner: Option<Owner>,
}

impl ConnectionInfo {
    /// The other end of the server's socket: the client, or the proxy.
    pub fn peer(&self) -> &Endpoint {
        self.proxy.as_ref().unwrap_or(&self.client)
    }
}

/// Whose a connection is, in a run that traces several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process, as its user numbers it; 0 where that is not known.
    pub pid: u32,
    /// The test that it belongs to; `None` where that was not seen.
    pub test: Option<TestId>,
}
