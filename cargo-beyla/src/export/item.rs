//! What has spans: requests, and in a run of tests the tests that they belong to.

use std::ops::AddAssign;
use std::sync::Arc;

use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::test::EndedTest;

/// Something that has ended, on its way to a receiver.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Request(Arc<Request>),
    Test(Arc<EndedTest>),
}

impl Item {
    /// What it holds in memory, in bytes, more or less: what it shares with others is counted in full.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Request(request) => request.memory(),
            Self::Test(test) => size_of::<EndedTest>() + test.binary.len() + test.name.len(),
        }
    }

    /// One of its kind.
    pub(super) fn count(&self) -> Counts {
        match self {
            Self::Request(_) => Counts { requests: 1, tests: 0 },
            Self::Test(_) => Counts { requests: 0, tests: 1 },
        }
    }
}

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Tests.
    pub tests: u64,
}

impl Counts {
    /// Whether there are none.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self { requests, tests } = other;
        self.requests += requests;
        self.tests += tests;
    }
}
