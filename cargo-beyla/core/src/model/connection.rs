//! Connections, and the sockets on which the server listens for them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::test::TestId;
use crate::model::tls::Tls;

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
    /// The address.
    pub local: Endpoint,
    /// Whether it listens on IPv6 addresses only, and not on IPv4 addresses as well.
    pub ipv6_only: bool,
    /// Whether it listened before the server began: the server inherited the socket.
    pub before: bool,
    /// The process that listens, if it is not the one that was started.
    pub pid: Option<u32>,
}

/// A connection that the process accepted or opened, shared by its requests or calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Counts connections from 1 in the order in which the process first touched them, whoever opened them.
    pub id: u64,
    /// The server's end.
    pub server: Endpoint,
    /// The client's end. Behind a proxy that speaks the PROXY protocol, this is the client that the proxy names.
    pub client: Endpoint,
    /// The proxy's end, if there is such a proxy.
    pub proxy: Option<Endpoint>,
    /// The process that it belongs to, in a run that traces several processes.
    pub owner: Option<Owner>,
    /// Of a connection over TLS that can be read.
    pub tls: Option<Arc<Tls>>,
}

impl ConnectionInfo {
    /// The other end of the server's socket: the client, or the proxy.
    pub fn peer(&self) -> &Endpoint {
        self.proxy.as_ref().unwrap_or(&self.client)
    }
}

/// The process that a connection belongs to, in a run that traces several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process id, as its user sees it; 0 if it is not known.
    pub pid: u32,
    /// The test that started the process; `None` if that was not seen.
    pub test: Option<TestId>,
}

/// An exchange (a request and its response) of a connection.
///
/// HTTP/1 counts exchanges from 1 in the order of their requests; HTTP/2 uses its own stream numbers. Of a connection
/// that goes on in HTTP/2 after an upgrade, the numbers of HTTP/2 follow those of HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Which end of a connection the traced process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It accepted the connection.
    #[default]
    Server,
    /// It opened the connection.
    Client,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// The one that opened it and sends requests.
    Client,
    /// The one that accepted it and answers.
    Server,
}
