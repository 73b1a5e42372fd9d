//! What `--explain` adds to the JSON report, and what must hold of it in every one.

use serde::Deserialize;

use crate::run::Build;

/// The `handle` phase of a request, opened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Handle {
    pub tier: u8,
    pub unit: Unit,
    #[serde(flatten)]
    pub parts: Parts,
    #[serde(default)]
    pub places: Vec<Place>,
    #[serde(default)]
    pub waits: Vec<Wait>,
    #[serde(default)]
    pub delays: Vec<Delay>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Task,
    Thread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Parts {
    pub running: u64,
    pub runnable: u64,
    pub blocked: u64,
    pub scheduled: u64,
    pub waiting: u64,
}

/// The `respond` phase of a request, opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct RespondParts {
    pub running: u64,
    pub runnable: u64,
    pub blocked: u64,
    pub scheduled: u64,
    pub waiting: u64,
    pub client: u64,
}

impl RespondParts {
    /// All of them.
    pub fn sum(&self) -> u64 {
        let Self { running, runnable, blocked, scheduled, waiting, client } = *self;
        running + runnable + blocked + scheduled + waiting + client
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Place {
    pub cause: String,
    pub system_call: Option<String>,
    pub ns: u64,
    pub count: u64,
    pub call: Option<String>,
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Wait {
    pub on: String,
    pub ns: u64,
    pub count: u64,
    pub parts: Parts,
    #[serde(default)]
    pub places: Vec<Place>,
    #[serde(default)]
    pub waits: Vec<Wait>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Delay {
    pub by: String,
    pub ns: u64,
}

/// What could not be explained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Explain {
    pub unseen: Option<String>,
    #[serde(default)]
    pub requests_not_opened: u64,
    #[serde(default)]
    pub requests_of_tier_1: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Finding {
    pub kind: String,
    pub route: Option<String>,
    pub count: u64,
    pub of: u64,
    pub total_ns: u64,
    pub max_ns: u64,
    pub place: Option<Place>,
    pub call: Option<AskedFor>,
    #[serde(default)]
    pub delayed: Vec<Delayed>,
    pub message: String,
}

/// The calls that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct AskedFor {
    pub kind: String,
    pub summary: String,
    pub peer: Option<String>,
    pub status: Option<String>,
    pub max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Delayed {
    pub route: String,
    pub count: u64,
    pub total_ns: u64,
    pub max_ns: u64,
}

impl Parts {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.running + self.runnable + self.blocked + self.scheduled + self.waiting
    }

    /// What `part` makes up of the whole, from 0 to 1.
    pub fn share(&self, part: impl Fn(&Self) -> u64) -> f64 {
        part(self) as f64 / self.sum() as f64
    }

    /// In which others had the CPU or the worker that was wanted.
    pub fn left(&self) -> u64 {
        self.runnable + self.scheduled
    }

    /// What `part` makes up of the rest.
    pub fn own_share(&self, part: impl Fn(&Self) -> u64) -> f64 {
        Self { runnable: 0, scheduled: 0, ..*self }.share(part)
    }
}

impl Handle {
    /// What must hold, whatever has happened, in a request whose phases have these lengths.
    pub fn check(&self, queue: Option<u64>, handle: Option<u64>) {
        assert_eq!(Some(self.parts.sum()), handle, "the parts do not sum to the phase: {self:#?}");
        check_places(&self.places);
        check_waits(&self.waits, self.parts.waiting);
        assert!(self.delays.is_sorted_by(|one, next| one.ns >= next.ns), "the longest comes first: {self:#?}");
        for delay in &self.delays {
            // Of a poll that had begun before the request came, only the rest delays it.
            assert!(delay.ns <= queue.unwrap_or(0) + self.parts.scheduled, "longer than there was to delay: {self:#?}");
        }
    }
}

fn check_waits(waits: &[Wait], most: u64) {
    assert!(waits.is_sorted_by(|one, next| one.ns >= next.ns), "the longest comes first: {waits:#?}");
    for wait in waits {
        assert!(wait.ns <= most, "longer than the {most} ns that it lies in: {wait:#?}");
        assert!(wait.parts.sum() <= wait.ns, "the other task did more than there was time for: {wait:#?}");
        assert!(wait.count > 0 && !wait.on.is_empty(), "{wait:#?}");
        check_places(&wait.places);
        check_waits(&wait.waits, wait.ns);
    }
}

fn check_places(places: &[Place]) {
    assert!(places.is_sorted_by(|one, next| one.ns >= next.ns), "the longest comes first: {places:#?}");
    for place in places {
        place.check();
    }
}

impl Place {
    fn check(&self) {
        let causes = ["running", "system-call", "lock", "page-fault", "unknown"];
        assert!(causes.contains(&self.cause.as_str()) && self.count > 0, "{self:#?}");
        assert!(self.file.is_some() == self.line.is_some(), "file and line go together: {self:#?}");
        assert!(self.cause != "system-call" || self.system_call.is_some(), "it has a name or number: {self:#?}");
    }

    /// Whether it is a call of `std::thread::sleep` at a line of a function.
    pub fn is_sleep_at(&self, build: Build, function: &str, file: &str, line: u32) -> bool {
        self.cause == "system-call"
            && self.system_call.as_deref() == Some("clock_nanosleep")
            && self.call.as_deref() == Some("std::thread::sleep")
            && self.is_at(build, function, file, line)
    }

    /// Whether it is at a line of a function. Tables of lines alone, which are all that releases have here, leave an
    /// inlined function without its name.
    pub fn is_at(&self, build: Build, function: &str, file: &str, line: u32) -> bool {
        let named = match self.function.as_deref() {
            Some(known) => known == function,
            None => build == Build::Release,
        };
        named && (self.file.as_deref(), self.line) == (Some(file), Some(line))
    }
}

impl Finding {
    /// What must hold, whatever was found.
    pub fn check(&self) {
        let kinds = [
            "blocking-call",
            "cpu-bound-poll",
            "runtime-saturated",
            "cpu-saturated",
            "accept-wait",
            "slow-upload",
            "slow-reader",
            "lock-contention",
            "repeated-call",
            "slow-call",
            "failed-connect",
        ];
        assert!(kinds.contains(&self.kind.as_str()) && !self.message.is_empty(), "{self:#?}");
        assert!(self.count > 0 && self.count <= self.of && self.max_ns <= self.total_ns, "{self:#?}");
        for delayed in &self.delayed {
            assert!(delayed.count > 0 && delayed.max_ns <= delayed.total_ns, "{self:#?}");
        }
        if let Some(place) = &self.place {
            place.check();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_build_names_its_functions_and_a_release_may_not() {
        let place = |function: Option<&str>| Place {
            cause: "running".into(),
            system_call: None,
            ns: 1,
            count: 1,
            call: None,
            function: function.map(str::to_owned),
            file: Some("src/main.rs".into()),
            line: Some(7),
        };
        let is_at = |build, function| place(function).is_at(build, "app::f", "src/main.rs", 7);
        for (build, function, expected) in [
            (Build::Debug, Some("app::f"), true),
            (Build::Debug, Some("app::g"), false),
            (Build::Debug, None, false),
            (Build::Release, Some("app::f"), true),
            (Build::Release, Some("app::g"), false),
            (Build::Release, None, true),
        ] {
            assert_eq!(is_at(build, function), expected, "{build:?} {function:?}");
        }
        assert!(!place(Some("app::f")).is_at(Build::Debug, "app::f", "src/main.rs", 8));
    }
}
