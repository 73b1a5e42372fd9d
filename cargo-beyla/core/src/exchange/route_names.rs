//! The routes of a run, by number.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::request::RouteId;

/// The routes that are kept apart; requests of further routes count as [`OTHER`].
const ROUTES_MAX: usize = 1000;

/// Method and route of the requests whose route has no room of its own.
const OTHER: (&str, &str) = ("*", "(other)");

/// Method and route.
type Name = (Arc<str>, Arc<str>);

/// Numbers routes in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct RouteNames {
    names: Vec<Name>,
    by_name: HashMap<Name, RouteId>,
    /// The route [`OTHER`], once there is no room for more.
    other: Option<RouteId>,
}

impl RouteNames {
    /// The route of requests with this method and route.
    pub(crate) fn id(&mut self, method: &Arc<str>, route: &Arc<str>) -> RouteId {
        let name = (Arc::clone(method), Arc::clone(route));
        if let Some(&known) = self.by_name.get(&name) {
            return known;
        }
        if self.names.len() < ROUTES_MAX {
            return self.insert(name);
        }
        let other = self.other.unwrap_or_else(|| self.insert((OTHER.0.into(), OTHER.1.into())));
        self.other = Some(other);
        other
    }

    /// Method and route.
    pub(crate) fn name(&self, RouteId(route): RouteId) -> Name {
        self.names[route].clone()
    }

    fn insert(&mut self, name: Name) -> RouteId {
        *self.by_name.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            RouteId(self.names.len() - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_keep_their_numbers_and_are_bounded() {
        let mut names = RouteNames::default();
        let mut id = |method: &str, route: &str| names.id(&method.into(), &route.into());
        let all: Vec<_> = (0..ROUTES_MAX).map(|n| id("GET", &n.to_string())).collect();
        assert_eq!((id("GET", "7"), id("GET", "7")), (all[7], RouteId(7)));
        let other = id("POST", "7");
        assert_eq!((other, id("GET", "more")), (RouteId(ROUTES_MAX), other));
        assert_eq!(names.name(other), ("*".into(), "(other)".into()));
        assert_eq!(names.name(all[7]), ("GET".into(), "7".into()));
    }
}
