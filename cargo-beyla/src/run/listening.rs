//! Where the server listens, and when it began to.
//!
//! The port is learned from the kernel: a record says that a socket of a traced process has begun to listen, and
//! [`Trace::listening`] has all of them in that order. Of sockets that listened before the probes were attached, as a
//! service manager passes them on, or as the server of `cargo beyla attach` has them, the helper makes such records: it
//! reads `/proc` ([`crate::launch::listening`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use cargo_beyla_core::model::connection::{Endpoint, Listener};
use cargo_beyla_core::trace::Trace;

/// How long a TCP port of the server's own may follow a Unix socket, or a socket that the server was given.
const TCP_MAY_FOLLOW: Duration = Duration::from_millis(300);

/// The sockets that the server listens on, as far as they were announced.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    announced: usize,
    since: Option<Instant>,
}

impl Listening {
    /// Hands the sockets that are new to `announce`.
    pub(crate) fn update(&mut self, trace: &Trace, mut announce: impl FnMut(&Listener)) {
        for listener in trace.listening().iter().skip(self.announced) {
            self.since.get_or_insert_with(Instant::now);
            announce(listener);
        }
        self.announced = trace.listening().len();
    }

    /// How long ago the first socket began to listen, if one did.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }

    /// Whether clients can know by now where to connect to.
    pub(crate) fn is_settled(&self, trace: &Trace) -> bool {
        let is_own_tcp = |listener: &Listener| matches!(listener.local, Endpoint::Tcp(_)) && !listener.before;
        self.elapsed().is_some_and(|elapsed| elapsed >= TCP_MAY_FOLLOW || trace.listening().iter().any(is_own_tcp))
    }

    /// Everything was stopped for this time.
    pub(crate) fn resume(&mut self, paused: Duration) {
        self.since = self.since.map(|since| since + paused);
    }
}

/// An address at which a client on this machine reaches one of these sockets: the first on which the server itself began
/// to listen, or else the first that it was given.
pub(crate) fn reachable(listening: &[Listener]) -> Option<SocketAddr> {
    first_reachable(listening, is_here)
}

/// The path of the first Unix socket.
pub(crate) fn unix_path(listening: &[Listener]) -> Option<&str> {
    listening.iter().find_map(|listener| match &listener.local {
        Endpoint::Unix(path) => Some(&**path),
        Endpoint::Tcp(_) => None,
    })
}

/// As [`reachable`]; `is_here` says whether this machine has an address.
fn first_reachable(listening: &[Listener], is_here: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let of = |before: bool| listening.iter().filter(move |listener| listener.before == before);
    let addresses: Vec<SocketAddr> =
        of(false).chain(of(true)).filter_map(|listener| address(listener, &is_here)).collect();
    let reached = addresses.iter().find(|address| !address.ip().is_loopback() || is_here(address.ip()));
    reached.or(addresses.first()).copied()
}

/// Where a client on this machine looks for a socket.
fn address(listener: &Listener, is_here: impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let Endpoint::Tcp(address) = &listener.local else { return None };
    let (ipv4, ipv6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V6(_) if listener.ipv6_only || (is_here(ipv6) && !is_here(ipv4)) => ipv6,
        // All addresses of IPv6 are those of IPv4 as well, which more machines have.
        IpAddr::V4(_) | IpAddr::V6(_) => ipv4,
    };
    Some(SocketAddr::new(ip, address.port()))
}

/// Whether this machine, or the container that we are in, has an address.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        let local = Endpoint::Tcp(address.parse().expect("an address"));
        Listener { local, ipv6_only: false, before: false, pid: None }
    }

    fn reached(listening: &[Listener], here: &[&str]) -> Option<String> {
        first_reachable(listening, |address| here.contains(&&*address.to_string())).map(|address| address.to_string())
    }

    #[test]
    fn a_socket_on_all_addresses_is_reached_by_one_that_is_here() {
        let (both, four, six) = (&["127.0.0.1", "::1"][..], &["127.0.0.1"][..], &["::1"][..]);
        let any = [listener("[::]:80")];
        let only = [Listener { ipv6_only: true, ..listener("[::]:80") }];
        for (listening, here, expected) in [
            (&any, both, "127.0.0.1:80"),
            (&any, four, "127.0.0.1:80"),
            (&any, six, "[::1]:80"),
            (&only, both, "[::1]:80"),
            (&only, four, "[::1]:80"),
            (&[listener("0.0.0.0:80")], six, "127.0.0.1:80"),
            (&[listener("10.1.2.3:80")], both, "10.1.2.3:80"),
        ] {
            assert_eq!(reached(listening, here).as_deref(), Some(expected), "{listening:?} {here:?}");
        }
    }

    #[test]
    fn of_several_sockets_the_first_that_can_be_reached_and_is_the_servers_own() {
        let only = Listener { ipv6_only: true, ..listener("[::]:80") };
        let listening = [only, listener("0.0.0.0:81")];
        assert_eq!(reached(&listening, &["127.0.0.1"]).as_deref(), Some("127.0.0.1:81"));
        assert_eq!(reached(&listening, &["127.0.0.1", "::1"]).as_deref(), Some("[::1]:80"));
        let given = Listener { before: true, ..listener("127.0.0.1:82") };
        let here = ["127.0.0.1"];
        assert_eq!(reached(&[given.clone(), listener("127.0.0.1:83")], &here).as_deref(), Some("127.0.0.1:83"));
        assert_eq!(reached(&[given], &here).as_deref(), Some("127.0.0.1:82"));
        assert_eq!(reached(&[], &here), None);
    }
}
