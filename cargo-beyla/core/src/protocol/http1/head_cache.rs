//! Heads that come again and again: what one says is read once.
//!
//! Load generators send the same head with every request, and the heads of responses differ by their
//! date, once a second.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::head::{self, Request, Response, Unreadable};

/// The heads remembered in each direction, each in the place that its hash tells: a new one takes it
/// from the one that is there.
const PLACES: usize = 256;

/// Longer heads, in bytes, are not remembered.
const LENGTH_MAX: usize = 1024;

/// The heads of all connections of a run.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub(super) requests: HeadCache<Request>,
    pub(super) responses: HeadCache<Response>,
}

/// The heads of one direction and what they say.
#[derive(Debug)]
pub(super) struct HeadCache<T> {
    places: Vec<Place<T>>,
    /// The place of the head that came last.
    last: usize,
    /// Clients choose the keys, so its seed is random.
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug)]
struct Place<T> {
    head: Vec<u8>,
    /// `None` in a place that is free.
    says: Option<T>,
}

/// What can be read of a head's bytes, and of nothing else.
pub(super) trait Head: Copy {
    fn parse(head: &[u8]) -> Result<Self, Unreadable>;
}

impl Head for Request {
    fn parse(head: &[u8]) -> Result<Self, Unreadable> {
        head::request(head)
    }
}

impl Head for Response {
    fn parse(head: &[u8]) -> Result<Self, Unreadable> {
        head::response(head)
    }
}

impl<T: Head> HeadCache<T> {
    /// The head at the beginning of `input`, if it is the one that came last, and what it says. A head
    /// ends where its own bytes tell, so its end need not be looked for.
    pub(super) fn again<'a>(&self, input: &'a [u8]) -> Option<(&'a [u8], T)> {
        let last = self.places.get(self.last)?;
        let says = last.says?;
        input.starts_with(&last.head).then(|| (&input[..last.head.len()], says))
    }

    /// What a whole head says.
    pub(super) fn read(&mut self, head: &[u8]) -> Result<T, Unreadable> {
        if head.len() > LENGTH_MAX {
            return T::parse(head);
        }
        let at = self.hasher.hash_one(head) as usize % PLACES;
        let place = &mut self.places[at];
        let says = match place.says {
            Some(says) if place.head == head => says,
            _ => {
                let says = T::parse(head)?;
                place.head.clear();
                place.head.extend_from_slice(head);
                place.says = Some(says);
                says
            }
        };
        self.last = at;
        Ok(says)
    }
}

impl<T: Clone> Default for HeadCache<T> {
    fn default() -> Self {
        let free = Place { head: Vec::new(), says: None };
        Self { places: vec![free; PLACES], last: 0, hasher: DefaultHashBuilder::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(length: u64) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
    }

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let mut cache = HeadCache::<Response>::default();
        for round in 0..3 {
            for length in 0..2 * PLACES as u64 {
                let head = head(length);
                let says = cache.read(head.as_bytes());
                assert_eq!(says, head::response(head.as_bytes()), "{round}");
                let input = head.clone() + "body";
                let (again, says_again) = cache.again(input.as_bytes()).expect("the same head");
                assert_eq!((again, Ok(says_again)), (head.as_bytes(), says));
            }
        }
    }

    #[test]
    fn another_head_is_not_the_last_one() {
        let mut cache = HeadCache::<Response>::default();
        assert!(cache.again(b"").is_none());
        cache.read(head(1).as_bytes()).expect("a head");
        assert!(cache.again(head(11).as_bytes()).is_none());
        assert!(cache.again(&head(1).as_bytes()[..20]).is_none());
        assert!(cache.read(b"HTTP/1.1 OK\r\n\r\n").is_err());
        assert!(cache.read(b"HTTP/1.1 OK\r\n\r\n").is_err());
    }

    #[test]
    fn long_heads_are_read_each_time() {
        let mut cache = HeadCache::<Request>::default();
        let head = format!("GET /a HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(LENGTH_MAX));
        assert_eq!(cache.read(head.as_bytes()).map(|says| says.target(head.as_bytes()).len()), Ok(2));
        assert!(cache.places.iter().all(|place| place.head.is_empty()));
    }
}
