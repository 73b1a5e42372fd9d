//! Request lines that come again and again: what belongs to one is looked up once.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::protocol::message::RequestHead;

use crate::exchange::interner::Interner;
use crate::exchange::route::RouteTable;
use crate::exchange::route_names::RouteNames;
use crate::model::request::RouteId;

/// The lines known at most.
const KNOWN_MAX: usize = 4096;

/// A longer path or query hardly comes again.
const LENGTH_MAX: usize = 256;

/// What a request asks for, and where it counts.
#[derive(Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) query: Option<Arc<str>>,
    pub(crate) route: Arc<str>,
    pub(crate) route_id: RouteId,
}

/// The lines of a run, as many as it has room for.
#[derive(Debug, Default)]
pub(crate) struct RequestLines {
    known: HashTable<Arc<RequestLine>>,
    /// Clients choose the keys, so its seed is random.
    hasher: DefaultHashBuilder,
    interner: Interner,
}

impl RequestLines {
    /// The line of a request; its route is looked up if it is new.
    pub(crate) fn get(
        &mut self,
        head: &RequestHead<'_>,
        routes: &RouteTable,
        names: &mut RouteNames,
    ) -> Arc<RequestLine> {
        let hash = self.hasher.hash_one((head.method, head.path, head.query));
        if let Some(known) = self.known.find(hash, |line| line.is_of(head)) {
            return Arc::clone(known);
        }
        let method = self.interner.get(head.method);
        // A gRPC method is one by its name, whatever that looks like.
        let route = match head.grpc {
            Some(_) => self.interner.get(head.path),
            None => self.interner.get(&routes.route(head.path)),
        };
        let line = Arc::new(RequestLine {
            path: self.interner.get(head.path),
            query: head.query.map(|query| self.interner.get(query)),
            route_id: names.id(&method, &route),
            method,
            route,
        });
        if [head.method.len(), head.path.len(), head.query.map_or(0, str::len)].iter().all(|len| *len <= LENGTH_MAX) {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let hash_of =
                |line: &Arc<RequestLine>| self.hasher.hash_one((&*line.method, &*line.path, line.query.as_deref()));
            self.known.insert_unique(hash, Arc::clone(&line), hash_of);
        }
        line
    }
}

impl RequestLine {
    fn is_of(&self, head: &RequestHead<'_>) -> bool {
        *self.path == *head.path && self.query.as_deref() == head.query && *self.method == *head.method
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_one_and_memory_is_bounded() {
        let routes = RouteTable::new(&[]).expect("no patterns");
        let queries: Vec<_> = (0..2 * KNOWN_MAX).map(|n| n.to_string()).collect();
        let long = "x".repeat(LENGTH_MAX + 1);
        let (mut lines, mut names) = (RequestLines::default(), RouteNames::default());
        let mut get = |method, path, query| {
            let head = RequestHead {
                protocol: "",
                method,
                path,
                query,
                bytes: 0,
                arrived_ns: None,
                read_ns: 0,
                trace: None,
                grpc: None,
            };
            let line = lines.get(&head, &routes, &mut names);
            assert_eq!((&*line.method, &*line.path, line.query.as_deref()), (method, path, query));
            assert!(lines.known.len() <= KNOWN_MAX);
            line
        };
        let line = get("GET", "/1", None);
        assert!(Arc::ptr_eq(&line, &get("GET", "/1", None)));
        for (method, path, query) in [("POST", "/1", None), ("GET", "/2", None), ("GET", "/1", Some(""))] {
            assert!(!Arc::ptr_eq(&line, &get(method, path, query)));
        }
        assert!(Arc::ptr_eq(&line.route, &get("GET", "/2", None).route));
        assert!(!Arc::ptr_eq(&get("GET", &long, None), &get("GET", &long, None)));
        for query in &queries {
            get("GET", "/", Some(query));
        }
    }
}
