//! The timing model: the moments that bound a request, and the phases between them.

/// The moments of a server request, in nanoseconds of `CLOCK_MONOTONIC`.
///
/// A moment that is not known is `None`. The known moments never decrease from one field to the next, with one
/// exception: a request may arrive before its connection is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundaries {
    /// The connection reached ESTABLISHED. Only on the first request of a connection.
    pub connected: Option<u64>,
    /// The server took the connection from its accept queue. Only on the first request of a
    /// connection.
    pub accepted: Option<u64>,
    /// The handshake of TLS was over. Only on the first request of a connection over TLS.
    pub secured: Option<u64>,
    /// The request's first byte reached the socket's receive queue.
    pub arrived: Option<u64>,
    /// The receive call that brought the request's first byte returned.
    pub read: u64,
    /// The receive call that brought the request's last byte returned; `None` until then, or if the call was not seen.
    pub received: Option<u64>,
    /// The first send call that carries bytes of the (final) response began.
    pub responded: Option<u64>,
    /// A client on this machine had the last byte of the response; for any other client, the last send call of the
    /// response returned. If the exchange broke off, the moment at which it did.
    pub ended: u64,
}

/// The parts of a request's total time, in nanoseconds; they sum to it exactly.
///
/// If one of its boundaries is not known, a part is `None`, and its time counts in the next known part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// The request was in the kernel's receive queue, and the server had not read any of it.
    pub queue: Option<u64>,
    /// The server was receiving the request.
    pub receive: Option<u64>,
    /// The application was working on the response.
    pub handle: Option<u64>,
    /// The server was sending the response.
    pub respond: Option<u64>,
}

impl Boundaries {
    /// When the request's time starts: on arrival or, if that is not known, when it was read.
    pub fn start(&self) -> u64 {
        self.arrived.unwrap_or(self.read)
    }

    /// The total request time in nanoseconds: what the client waits, without the network.
    pub fn total(&self) -> u64 {
        self.ended.saturating_sub(self.start())
    }

    /// From established to accepted, in nanoseconds. This time does not belong to the total.
    pub fn accept_wait(&self) -> Option<u64> {
        self.accepted?.checked_sub(self.connected?)
    }

    /// The phases of the total.
    pub fn phases(&self) -> Phases {
        let mut from = self.read;
        let mut until = |boundary: u64| {
            let length = boundary.saturating_sub(from);
            from = from.max(boundary);
            length
        };
        let queue = self.arrived.map(|arrived| self.read.saturating_sub(arrived));
        // The end of the exchange ends the phase that it is in.
        let receive = match (self.received, self.responded) {
            (Some(received), _) => Some(until(received)),
            (None, None) => Some(until(self.ended)),
            (None, Some(_)) => None,
        };
        let handle = match (self.received, self.responded) {
            (_, Some(responded)) => Some(until(responded)),
            // If nothing was seen of it after it was received, then nothing was seen of this phase.
            (Some(received), None) => (self.ended > received).then(|| until(self.ended)),
            (None, None) => None,
        };
        let respond = self.responded.map(|_| until(self.ended));
        Phases { queue, receive, handle, respond }
    }
}

impl Phases {
    /// The name and the length of each phase, in order of time.
    pub fn named(&self) -> [(&'static str, Option<u64>); 4] {
        [("queue", self.queue), ("receive", self.receive), ("handle", self.handle), ("respond", self.respond)]
    }

    /// The sum of the known phases, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.named().iter().filter_map(|(_, length)| *length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: Boundaries = Boundaries {
        connected: Some(5),
        accepted: Some(8),
        secured: None,
        arrived: Some(10),
        read: 15,
        received: Some(22),
        responded: Some(50),
        ended: 61,
    };

    #[test]
    fn phases_lie_between_the_boundaries() {
        let phases = COMPLETE.phases();
        assert_eq!(phases.named().map(|(_, length)| length), [Some(5), Some(7), Some(28), Some(11)]);
        assert_eq!(phases.sum(), COMPLETE.total());
        assert_eq!(COMPLETE.accept_wait(), Some(3));
    }

    #[test]
    fn an_unknown_boundary_leaves_its_phase_out_and_the_sum_exact() {
        for boundaries in [
            Boundaries { arrived: None, ..COMPLETE },
            Boundaries { received: None, ..COMPLETE },
            Boundaries { responded: None, ..COMPLETE },
            Boundaries { received: None, responded: None, ..COMPLETE },
        ] {
            assert_eq!(boundaries.phases().sum(), boundaries.total(), "{boundaries:?}");
        }
        assert_eq!(Boundaries { arrived: None, ..COMPLETE }.phases().queue, None);
        assert_eq!(Boundaries { received: None, ..COMPLETE }.phases().handle, Some(35));
    }
}
