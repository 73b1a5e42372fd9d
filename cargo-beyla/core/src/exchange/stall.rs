//! A response that cannot go on because its client does not take it.

/// What a client can hold a response up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The send buffer is full.
    SendBuffer,
    /// HTTP/2: the flow-control window of the connection is shut.
    ConnectionWindow,
    /// HTTP/2: the flow-control window of the stream is shut.
    StreamWindow,
}

/// The obstacles of a response, and the time that they have taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stall {
    /// A bit for each [`Obstacle`].
    obstacles: u8,
    /// Since when there is one, in nanoseconds.
    since: u64,
    /// For how long there was one before, in nanoseconds.
    ns: u64,
}

impl Stall {
    /// An obstacle is there from `at` on. Returns whether there was none.
    pub(crate) fn begin(&mut self, obstacle: Obstacle, at: u64) -> bool {
        let begins = self.obstacles == 0;
        if begins {
            self.since = at;
        }
        self.obstacles |= bit(obstacle);
        begins
    }

    /// An obstacle is gone at `at`. Returns whether it was the last.
    pub(crate) fn end(&mut self, obstacle: Obstacle, at: u64) -> bool {
        let was_stalled = self.obstacles != 0;
        self.obstacles &= !bit(obstacle);
        let ends = was_stalled && self.obstacles == 0;
        if ends {
            self.ns = self.until(self.since, at);
        }
        ends
    }

    /// For how long there was an obstacle until `at`, in nanoseconds.
    pub(crate) fn total(&self, at: u64) -> u64 {
        if self.obstacles == 0 { self.ns } else { self.until(self.since, at) }
    }

    fn until(&self, since: u64, at: u64) -> u64 {
        self.ns.saturating_add(at.saturating_sub(since))
    }
}

fn bit(obstacle: Obstacle) -> u8 {
    1 << obstacle as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_that_overlap_count_once() {
        let mut stall = Stall::default();
        assert!(stall.begin(Obstacle::StreamWindow, 10) && !stall.begin(Obstacle::SendBuffer, 20));
        assert!(!stall.end(Obstacle::StreamWindow, 30));
        assert_eq!(stall.total(35), 25);
        assert!(stall.end(Obstacle::SendBuffer, 40) && !stall.end(Obstacle::SendBuffer, 50));
        assert_eq!(stall.total(60), 30);
        assert!(stall.begin(Obstacle::ConnectionWindow, 70) && stall.end(Obstacle::ConnectionWindow, 60));
        assert_eq!(stall.total(90), 30);
    }
}
