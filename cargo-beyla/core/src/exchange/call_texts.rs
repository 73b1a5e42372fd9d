//! What calls ask for, in words: looked up once for calls that come again and again.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::exchange::interner::Interner;
use crate::exchange::route::RouteTable;
use crate::protocol::message::RequestHead;

/// The requests known at most.
const KNOWN_MAX: usize = 4096;

/// A longer path hardly comes again.
const LENGTH_MAX: usize = 256;

/// What a call of HTTP asks for.
#[derive(Clone, Debug)]
pub(super) struct CallText {
    /// Method and route; of a call of gRPC, its path.
    pub(super) summary: Arc<str>,
    /// Method and path. The query is left out, as it may hold secrets.
    pub(super) text: Arc<str>,
}

/// The words of a run, as many as it has room for.
#[derive(Debug, Default)]
pub(crate) struct CallTexts {
    known: HashTable<Known>,
    hasher: DefaultHashBuilder,
    interner: Interner,
}

#[derive(Debug)]
struct Known {
    is_grpc: bool,
    text: CallText,
}

impl CallTexts {
    /// One copy of a text.
    pub(super) fn intern(&mut self, text: &str) -> Arc<str> {
        self.interner.get(text)
    }

    /// What this request asks for.
    pub(super) fn of_request(&mut self, head: &RequestHead<'_>, routes: &RouteTable) -> CallText {
        let (method, path, is_grpc) = (head.method, without_authority(head.path), head.grpc.is_some());
        let hash = self.hasher.hash_one((method, path));
        let is_known = |known: &Known| {
            let rest = known.text.text.strip_prefix(method).and_then(|rest| rest.strip_prefix(' '));
            known.is_grpc == is_grpc && rest == Some(path)
        };
        if let Some(known) = self.known.find(hash, is_known) {
            return known.text.clone();
        }
        let text = self.interner.get(&format!("{method} {path}"));
        let summary = match is_grpc {
            true => self.interner.get(path),
            false => self.interner.get(&format!("{method} {}", routes.route(path))),
        };
        let text = CallText { summary, text };
        if method.len() + path.len() <= LENGTH_MAX {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let hash_of = |known: &Known| self.hasher.hash_one(known.text.text.split_once(' ').unwrap_or_default());
            self.known.insert_unique(hash, Known { is_grpc, text: text.clone() }, hash_of);
        }
        text
    }
}

/// The path of a target that may be in absolute form (RFC 9112, section 3.2.2), whose authority may hold a password.
fn without_authority(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else { return target };
    rest.find('/').map_or("/", |begin| &rest[begin..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::grpc;

    fn head<'a>(method: &'a str, path: &'a str, is_grpc: bool) -> RequestHead<'a> {
        RequestHead {
            protocol: "http/1.1",
            method,
            path,
            query: Some("token=secret"),
            bytes: 0,
            arrived_ns: None,
            read_ns: 0,
            trace: None,
            grpc: is_grpc.then_some(grpc::Call { encoding: grpc::Encoding::Binary, timeout: None }),
        }
    }

    #[test]
    fn paths_are_folded_in_the_summary_and_secrets_are_left_out() {
        let routes = RouteTable::new(&[]).expect("no patterns");
        let mut texts = CallTexts::default();
        for (method, path, is_grpc, summary, text) in [
            ("GET", "/users/7", false, "GET /users/{id}", "GET /users/7"),
            ("GET", "/users/8", false, "GET /users/{id}", "GET /users/8"),
            ("POST", "/shop.Stock/Check", true, "/shop.Stock/Check", "POST /shop.Stock/Check"),
            ("POST", "/shop.Stock/Check", false, "POST /shop.Stock/Check", "POST /shop.Stock/Check"),
            ("GET", "http://me:secret@host/a/7", false, "GET /a/{id}", "GET /a/7"),
            ("GET", "http://me:secret@host", false, "GET /", "GET /"),
            ("GET", "/go/http://host/7", false, "GET /go/http://host/{id}", "GET /go/http://host/7"),
            ("CONNECT", "host:443", false, "CONNECT host:443", "CONNECT host:443"),
        ] {
            for _ in 0..2 {
                let found = texts.of_request(&head(method, path, is_grpc), &routes);
                assert_eq!((&*found.summary, &*found.text), (summary, text));
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let routes = RouteTable::new(&[]).expect("no patterns");
        let mut texts = CallTexts::default();
        for n in 0..2 * KNOWN_MAX {
            texts.of_request(&head("GET", &format!("/a{n}"), false), &routes);
            assert!(texts.known.len() <= KNOWN_MAX);
        }
    }
}
