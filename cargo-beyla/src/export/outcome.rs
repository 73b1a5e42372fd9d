//! What became of what was to be exported, in sentences for the user.

use std::collections::BTreeMap;

pub use super::item::Counts;
use super::metrics::metric::SETS_MAX;
use crate::report::units::{count, counted};

/// The reasons that are told apart.
const REASONS_MAX: usize = 4;

/// Where requests are lost for more reasons than are told apart.
const OTHER_REASONS: &str = "other reasons";

/// What became of everything that was to be exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOutcome {
    /// Of the spans.
    pub traces: Option<TracesOutcome>,
    /// Of the metrics by OTLP.
    pub metrics: Option<MetricsOutcome>,
    /// Of the metrics to be scraped.
    pub prometheus: Option<PrometheusOutcome>,
    /// The requests and calls that are in the metrics without their attributes.
    pub overflowed: u64,
}

/// What became of the spans. Every request and every call, and in a run of tests every test that has spans, was sent,
/// not sampled, left out, or lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracesOutcome {
    /// Where to.
    pub endpoint: String,
    /// All that there were.
    pub all: Counts,
    /// Those whose spans the receiver took, each once.
    pub sent: Counts,
    /// Those that the sampler has left out.
    pub unsampled: Counts,
    /// Requests that the settings leave out, and their calls.
    pub unwanted: Counts,
    /// Those whose spans were not taken, by reason.
    pub lost: BTreeMap<String, Counts>,
    /// Spans that were not taken out of messages that were.
    pub rejected_spans: u64,
    /// What the receiver said of messages that it took.
    pub remark: Option<String>,
    /// Whether an answer was not one of OTLP's, so that it is unknown whether the spans were taken.
    pub foreign_answer: bool,
    /// Whether a connection broke during an answer, which may have said what was rejected.
    pub answer_cut_off: bool,
}

/// What became of the metrics by OTLP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsOutcome {
    /// Where to.
    pub endpoint: String,
    /// How often they were taken.
    pub sent: u64,
    /// Why they were not the last time, if they were not.
    pub failure: Option<String>,
    /// Data points that were not taken out of messages that were.
    pub rejected_points: u64,
    /// What the receiver said of messages that it took.
    pub remark: Option<String>,
    /// Whether an answer was not one of OTLP's, so that it is unknown whether the metrics were taken.
    pub foreign_answer: bool,
    /// Whether a connection broke during an answer, which may have said what was rejected.
    pub answer_cut_off: bool,
}

/// What became of the metrics to be scraped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrometheusOutcome {
    /// Where they were.
    pub url: String,
    /// How often they were read.
    pub scrapes: u64,
}

impl ExportOutcome {
    /// What is missing from the metrics, and what cures it; `None` if nothing is.
    pub fn overflow(&self) -> Option<String> {
        let overflowed = Some(self.overflowed).filter(|number| *number > 0)?;
        let what = if overflowed == 1 { "request or call" } else { "requests and calls" };
        Some(format!(
            "metrics tell {} {what} without attributes (otel.metric.overflow), since there are more than {} sets of \
             them: name routes with --route or routes.patterns, or fold the others with `routes.unmatched: wildcard`",
            count(overflowed),
            count(SETS_MAX as u64)
        ))
    }
}

impl TracesOutcome {
    pub(super) fn lose(&mut self, items: Counts, reason: &str) {
        if items.is_zero() {
            return;
        }
        let told_apart = self.lost.contains_key(reason) || self.lost.len() < REASONS_MAX;
        let reason = if told_apart { reason } else { OTHER_REASONS };
        *self.lost.entry(reason.to_owned()).or_default() += items;
    }

    /// Whether everything that was to be sent was.
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.rejected_spans == 0 && !self.foreign_answer && !self.answer_cut_off
    }

    /// As in `sent the spans of 9,488 of 10,000 requests to http://localhost:4318/v1/traces; 512 were not
    /// sent: connection refused`, or `sent the spans of 92 requests and 12 tests to ...`.
    pub fn sentence(&self) -> String {
        let Self {
            endpoint,
            all,
            sent,
            unsampled,
            unwanted,
            lost,
            rejected_spans,
            remark,
            foreign_answer,
            answer_cut_off,
        } = self;
        if all.is_zero() {
            return format!("sent no spans to {endpoint}: there were no requests");
        }
        let portion = |all: u64, sent: u64, noun: &str| match sent {
            _ if all == 0 => None,
            0 => Some(format!("none of {}", counted(all, noun))),
            sent if sent == all => Some(counted(all, noun)),
            sent => Some(format!("{} of {}", count(sent), counted(all, noun))),
        };
        let portions = all.named().into_iter().zip(sent.named());
        let portions = portions.filter_map(|((all, noun), (sent, _))| portion(all, sent, noun));
        let mut sentence = format!("sent the spans of {} to {endpoint}", listed(portions.collect()));
        // Where there are requests alone, a number can be of nothing else.
        let requests_alone = all.tests + all.calls == 0;
        let number = |number: u64, noun: &str| if requests_alone { count(number) } else { counted(number, noun) };
        let numbers = |of: Counts| {
            let parts = of.named().into_iter().filter(|(of_them, _)| *of_them > 0);
            listed(parts.map(|(of_them, noun)| number(of_them, noun)).collect())
        };
        let of = |items: Counts, what: &str| {
            let Counts { requests, calls, tests } = items;
            let verb = if requests + calls + tests == 1 { "was" } else { "were" };
            format!("; {} {verb} not {what}", numbers(items))
        };
        if !unsampled.is_zero() {
            sentence.push_str(&of(*unsampled, "sampled"));
        }
        if !unwanted.is_zero() {
            sentence.extend(["; ", &numbers(*unwanted), " left out by the settings"]);
        }
        for (reason, items) in lost {
            sentence.extend([&of(*items, "sent"), ": ", reason]);
        }
        if *rejected_spans > 0 {
            sentence.extend(["; ", &counted(*rejected_spans, "span"), " rejected there"]);
        }
        sentence + &of_answers(remark.as_deref(), *foreign_answer, *answer_cut_off)
    }
}

impl MetricsOutcome {
    /// Whether everything that was to be sent was.
    pub fn is_complete(&self) -> bool {
        self.failure.is_none() && self.rejected_points == 0 && !self.foreign_answer && !self.answer_cut_off
    }

    /// As in `sent metrics to http://localhost:4318/v1/metrics 3 times`.
    pub fn sentence(&self) -> String {
        let Self { endpoint, sent, failure, rejected_points, remark, foreign_answer, answer_cut_off } = self;
        let sent = match sent {
            0 => format!("sent no metrics to {endpoint}"),
            1 => format!("sent metrics to {endpoint}"),
            sent => format!("sent metrics to {endpoint} {} times", count(*sent)),
        };
        let failure = match failure {
            Some(failure) if self.sent == 0 => format!(": {failure}"),
            Some(failure) => format!("; the last ones were not sent: {failure}"),
            None => String::new(),
        };
        let rejected = match rejected_points {
            0 => String::new(),
            points => format!("; {} rejected there", counted(*points, "data point")),
        };
        sent + &failure + &rejected + &of_answers(remark.as_deref(), *foreign_answer, *answer_cut_off)
    }
}

impl PrometheusOutcome {
    /// As in `metrics at http://127.0.0.1:9464/metrics, scraped 5 times`.
    pub fn sentence(&self) -> String {
        match self.scrapes {
            0 => format!("metrics at {}, never scraped", self.url),
            1 => format!("metrics at {}, scraped once", self.url),
            scrapes => format!("metrics at {}, scraped {} times", self.url, count(scrapes)),
        }
    }
}

/// As in `92 requests, 310 calls and 12 tests`.
fn listed(mut parts: Vec<String>) -> String {
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) }
}

/// What the receiver answered to messages that it took.
fn of_answers(remark: Option<&str>, foreign: bool, cut_off: bool) -> String {
    let remark = remark.map_or(String::new(), |remark| format!("; it says: {remark}"));
    let foreign =
        if foreign { "; it answered with something that is no OTLP response; is that a collector?" } else { "" };
    let cut_off = if cut_off { "; the connection broke during its answer" } else { "" };
    remark + foreign + cut_off
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(requests: u64) -> Counts {
        Counts { requests, ..Counts::default() }
    }

    fn traces(all: u64, sent: u64) -> TracesOutcome {
        let (all, sent) = (requests(all), requests(sent));
        TracesOutcome { endpoint: "http://x/v1/traces".into(), all, sent, ..TracesOutcome::default() }
    }

    #[test]
    fn the_sentence_of_spans() {
        assert_eq!(traces(0, 0).sentence(), "sent no spans to http://x/v1/traces: there were no requests");
        assert_eq!(traces(1, 1).sentence(), "sent the spans of 1 request to http://x/v1/traces");
        let mut some = traces(10_000, 9_488);
        some.lose(requests(512), "connection refused");
        assert_eq!(
            some.sentence(),
            "sent the spans of 9,488 of 10,000 requests to http://x/v1/traces; 512 were not sent: connection refused"
        );
        let mut none = traces(3, 0);
        none.unsampled = requests(2);
        none.lose(requests(1), "a");
        assert_eq!(
            none.sentence(),
            "sent the spans of none of 3 requests to http://x/v1/traces; 2 were not sampled; 1 was not sent: a"
        );
        let left_out = TracesOutcome { unwanted: requests(4), ..traces(10, 6) };
        assert_eq!(
            left_out.sentence(),
            "sent the spans of 6 of 10 requests to http://x/v1/traces; 4 left out by the settings"
        );
        assert!(left_out.is_complete());
        let rejected = TracesOutcome { rejected_spans: 4, remark: Some("too old".into()), ..traces(2, 2) };
        assert_eq!(
            rejected.sentence(),
            "sent the spans of 2 requests to http://x/v1/traces; 4 spans rejected there; it says: too old"
        );
        assert!(!rejected.is_complete() && !some.is_complete() && traces(1, 1).is_complete());
    }

    #[test]
    fn the_sentence_of_requests_and_tests() {
        let of = |all: (u64, u64), sent: (u64, u64)| {
            let [all, sent] = [all, sent].map(|(requests, tests)| Counts { requests, tests, calls: 0 });
            TracesOutcome { all, sent, ..traces(0, 0) }
        };
        let everything = of((92, 12), (92, 12));
        assert_eq!(everything.sentence(), "sent the spans of 92 requests and 12 tests to http://x/v1/traces");
        let alone = of((0, 1), (0, 1));
        assert_eq!(alone.sentence(), "sent the spans of 1 test to http://x/v1/traces");
        let mut some = of((92, 12), (80, 0));
        some.lose(Counts { requests: 2, tests: 1, calls: 0 }, "gone");
        some.unsampled = Counts { tests: 1, ..Counts::default() };
        some.unwanted = requests(10);
        assert_eq!(
            some.sentence(),
            "sent the spans of 80 of 92 requests and none of 12 tests to http://x/v1/traces; 1 test was not sampled; \
             10 requests left out by the settings; 2 requests and 1 test were not sent: gone"
        );
    }

    #[test]
    fn the_sentence_of_requests_and_their_calls() {
        let of = |requests: u64, calls: u64| Counts { requests, calls, tests: 0 };
        let all = TracesOutcome { all: of(92, 310), sent: of(92, 310), ..traces(0, 0) };
        assert_eq!(all.sentence(), "sent the spans of 92 requests and 310 calls to http://x/v1/traces");
        let mut some = TracesOutcome { all: of(3, 10), sent: of(1, 4), unwanted: of(2, 5), ..traces(0, 0) };
        some.lose(of(0, 1), "gone");
        assert_eq!(
            some.sentence(),
            "sent the spans of 1 of 3 requests and 4 of 10 calls to http://x/v1/traces; 2 requests and 5 calls left out \
             by the settings; 1 call was not sent: gone"
        );
        let three = TracesOutcome { all: Counts { tests: 1, ..of(3, 10) }, ..traces(0, 0) };
        assert_eq!(
            three.sentence(),
            "sent the spans of none of 3 requests, none of 10 calls and none of 1 test to http://x/v1/traces"
        );
    }

    #[test]
    fn reasons_are_bounded() {
        let mut outcome = traces(100, 0);
        for reason in 0..100 {
            outcome.lose(requests(1), &reason.to_string());
        }
        assert_eq!(outcome.lost.values().map(|lost| lost.requests).sum::<u64>(), 100);
        assert_eq!(outcome.lost.len(), REASONS_MAX + 1);
    }

    #[test]
    fn the_sentences_of_metrics() {
        let endpoint = "http://x/v1/metrics".to_owned();
        let mut metrics = MetricsOutcome { endpoint, ..MetricsOutcome::default() };
        metrics.failure = Some("connection refused".into());
        assert_eq!(metrics.sentence(), "sent no metrics to http://x/v1/metrics: connection refused");
        metrics.sent = 2;
        let sentence = "sent metrics to http://x/v1/metrics 2 times; the last ones were not sent: connection refused";
        assert_eq!(metrics.sentence(), sentence);
        assert!(!metrics.is_complete());
        let rejected = MetricsOutcome { failure: None, rejected_points: 1_005, ..metrics };
        let sentence = "sent metrics to http://x/v1/metrics 2 times; 1,005 data points rejected there";
        assert_eq!((rejected.sentence().as_str(), rejected.is_complete()), (sentence, false));
        let foreign = MetricsOutcome { rejected_points: 0, foreign_answer: true, ..rejected };
        assert!(foreign.sentence().ends_with("is no OTLP response; is that a collector?") && !foreign.is_complete());
        let prometheus = PrometheusOutcome { url: "http://y/metrics".into(), scrapes: 1 };
        assert_eq!(prometheus.sentence(), "metrics at http://y/metrics, scraped once");
    }
}
