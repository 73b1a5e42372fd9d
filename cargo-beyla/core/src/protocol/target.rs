//! What a request asks for.

use crate::model::request::UNREAD;

/// The path of a request's target, and its query. A target without a path is shown as a whole.
pub(super) fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) if !path.is_empty() => (path, Some(query)),
        None if target.is_empty() => (UNREAD, None),
        _ => (target, None),
    }
}
