//! The requests that are exported: `filter.application` and `routes.ignored_patterns`.

use super::attribute::Attribute;
use crate::config::attributes::AttributeFilter;
use crate::config::settings::Settings;
use cargo_beyla_core::exchange::pattern::PathPatterns;
use cargo_beyla_core::model::request::Request;

/// The signals that a request is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals {
    /// As spans.
    pub traces: bool,
    /// In the metrics.
    pub metrics: bool,
}

impl Signals {
    /// Both.
    pub const ALL: Self = Self { traces: true, metrics: true };
    /// Neither.
    pub const NONE: Self = Self { traces: false, metrics: false };
}

/// The requests that the filters accept.
#[derive(Clone, Debug, Default)]
pub struct RequestFilter(Vec<(Attribute, AttributeFilter)>);

impl RequestFilter {
    /// The requests that the filters of the settings accept.
    pub fn of(settings: &Settings) -> Self {
        settings.filters.as_ref().map_or_else(Self::default, |filters| Self::new(&filters.value))
    }

    /// The requests that all of these filters accept. A filter about an attribute that no request has is ignored: see
    /// [`unknown`].
    pub fn new(filters: &[AttributeFilter]) -> Self {
        let known = filters.iter().filter_map(|filter| Some((attribute(filter)?, filter.clone())));
        Self(known.collect())
    }

    /// Whether it accepts every request.
    pub fn accepts_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it accepts a request.
    pub fn accepts(&self, request: &Request) -> bool {
        self.0.iter().all(|(attribute, filter)| match attribute.of(request) {
            Some(value) => filter.accepts(&value.as_text()),
            None => filter.accepts(""),
        })
    }
}

/// The filters about attributes that no request has.
pub fn unknown(filters: &[AttributeFilter]) -> impl Iterator<Item = &AttributeFilter> {
    filters.iter().filter(|filter| attribute(filter).is_none())
}

fn attribute(filter: &AttributeFilter) -> Option<Attribute> {
    Attribute::ALL.into_iter().find(|attribute| filter.is_about(attribute.name()))
}

/// The requests that are exported.
#[derive(Clone, Debug)]
pub struct ExportFilter {
    accepted: RequestFilter,
    ignored: PathPatterns,
    /// What the ignored ones are exported as nevertheless.
    ignored_as: Signals,
}

impl ExportFilter {
    /// The requests that are accepted; those whose path is `ignored` are exported as `ignored_as` says.
    pub fn new(accepted: RequestFilter, ignored: PathPatterns, ignored_as: Signals) -> Self {
        Self { accepted, ignored, ignored_as }
    }

    /// What a request is exported as.
    pub fn signals(&self, request: &Request) -> Signals {
        if !self.accepted.accepts(request) {
            Signals::NONE
        } else if self.ignored.matched(&request.path).is_some() {
            self.ignored_as
        } else {
            Signals::ALL
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::attributes::filters_of;
    use crate::report::fixtures::request;

    fn accepts(filters: &str, request: &Request) -> bool {
        RequestFilter::new(&filters_of(filters)).accepts(request)
    }

    #[test]
    fn requests_are_accepted_by_their_attributes() {
        let request = Request { route: "/users/{id}".into(), ..request(1, "/users/7?full=1") };
        for (filter, accepted) in [
            ("http.request.method: {match: GET}", true),
            ("http_request_method: {not_match: '{GET,HEAD}'}", false),
            ("http.response.status_code: {match: '2*'}", true),
            ("http_response_status_code: {match: '5??'}", false),
            ("http.route: {match: '/users/*'}", true),
            ("url_path: {not_match: /users/7}", false),
            ("url.query: {match: 'full=*'}", true),
            ("client.address: {match: 127.*}", true),
            ("server.port: {match: '8080'}", true),
            ("server.port: {not_match: '80*'}", false),
            // The request has no such attribute.
            ("error.type: {match: '?*'}", false),
            ("error.type: {not_match: '5*'}", true),
            // All must accept it.
            ("server.port: {match: '8080'}\nurl.path: {match: /other}", false),
        ] {
            assert_eq!(accepts(filter, &request), accepted, "{filter}");
        }
    }

    #[test]
    fn a_filter_about_what_there_is_not_counts_for_nothing() {
        let filters = filters_of("k8s.pod.name: {match: a}\nurl.path: {match: /a}");
        let unknown: Vec<_> = unknown(&filters).map(|filter| filter.attribute.as_str()).collect();
        assert_eq!(unknown, ["k8s.pod.name"]);
        assert!(RequestFilter::new(&filters).accepts(&request(1, "/a")));
        assert!(RequestFilter::new(&filters[..1]).accepts_all());
    }

    #[test]
    fn ignored_paths_are_exported_as_the_mode_says() {
        let patterns = PathPatterns::new(&["/health".into(), "/internal/*".into()]).expect("patterns");
        let only_metrics = Signals { traces: false, metrics: true };
        for mode in [Signals::NONE, only_metrics] {
            let accepted = RequestFilter::new(&filters_of("http.request.method: {match: GET}"));
            let filter = ExportFilter::new(accepted, patterns.clone(), mode);
            assert_eq!(filter.signals(&request(1, "/health")), mode);
            assert_eq!(filter.signals(&request(1, "/internal/a/b?c")), mode);
            assert_eq!(filter.signals(&request(1, "/users")), Signals::ALL);
            let posted = Request { method: "POST".into(), ..request(1, "/health") };
            assert_eq!(filter.signals(&posted), Signals::NONE);
        }
    }
}
