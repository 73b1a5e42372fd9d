//! Connections and what goes on on them, as far as protocols differ in it.

/// An exchange (a request and its response) of a connection.
///
/// HTTP/1 counts exchanges from 1 in the order of their requests; HTTP/2 uses its own stream numbers. Of a connection
/// that goes on in HTTP/2 after an upgrade, the numbers of HTTP/2 follow those of HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Which end of a connection the traced process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// It accepted the connection.
    #[default]
    Server,
    /// It opened the connection.
    Client,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// The one that opened it and sends requests.
    Client,
    /// The one that accepted it and answers.
    Server,
}
