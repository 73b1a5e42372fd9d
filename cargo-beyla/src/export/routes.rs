//! The routes that requests are exported with: `routes.unmatched`.

use std::sync::Arc;

use crate::config::routes::Unmatched;
use crate::error::Error;
use cargo_beyla_core::exchange::pattern::PathPatterns;
use cargo_beyla_core::model::request::Request;

/// The route of everything that no pattern matches, where that is asked for.
const WILDCARD: &str = "/**";

/// Routes other than those of the report.
#[derive(Clone, Debug)]
pub struct ExportedRoutes {
    patterns: PathPatterns,
    unmatched: Otherwise,
}

/// The route of a path that no pattern matches.
#[derive(Clone, Debug)]
enum Otherwise {
    Path,
    /// Empty if there is no route.
    Fixed(Arc<str>),
}

impl ExportedRoutes {
    /// The patterns, and what is not matched by them; `None` if the routes are those of the report.
    pub fn new(patterns: &[String], unmatched: Unmatched) -> Result<Option<Self>, Error> {
        let unmatched = match unmatched {
            Unmatched::Heuristic | Unmatched::LowCardinality => return Ok(None),
            Unmatched::Path => Otherwise::Path,
            Unmatched::Unset => Otherwise::Fixed("".into()),
            Unmatched::Wildcard => Otherwise::Fixed(WILDCARD.into()),
        };
        Ok(Some(Self { patterns: PathPatterns::new(patterns).map_err(Error::RoutePattern)?, unmatched }))
    }

    /// The request as it is exported.
    pub fn of(&self, request: &Arc<Request>) -> Arc<Request> {
        if self.patterns.matched(&request.path).is_some() {
            return Arc::clone(request);
        }
        let route = match &self.unmatched {
            Otherwise::Path => Arc::clone(&request.path),
            Otherwise::Fixed(route) => Arc::clone(route),
        };
        Arc::new(Request { route, ..Request::clone(request) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::request;

    #[test]
    fn each_mode_does_what_it_says() {
        let routes = |unmatched| ExportedRoutes::new(&["/orders/{id}".into()], unmatched).expect("a pattern");
        for reported in [Unmatched::Heuristic, Unmatched::LowCardinality] {
            assert!(routes(reported).is_none());
        }
        for (unmatched, expected) in
            [(Unmatched::Unset, ""), (Unmatched::Path, "/users/7"), (Unmatched::Wildcard, "/**")]
        {
            let routes = routes(unmatched).expect("other routes");
            let of =
                |path: &str, route: &str| routes.of(&Arc::new(Request { route: route.into(), ..request(1, path) }));
            assert_eq!(&*of("/users/7?a=b", "/users/{id}").route, expected);
            assert_eq!(&*of("/orders/7", "/orders/{id}").route, "/orders/{id}");
        }
    }
}
