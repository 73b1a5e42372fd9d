//! What has spans: requests, the calls that the process made, and in a run of tests the tests that they belong to.

use std::ops::AddAssign;
use std::sync::Arc;

use cargo_beyla_core::model::call::Call;
use cargo_beyla_core::model::request::Request;
use cargo_beyla_core::model::test::EndedTest;

/// Something that has ended, on its way to a receiver.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// With those of its calls that are over, on the way to the filters, which are about requests. Behind them its calls
    /// go by themselves.
    Request(Arc<Request>, Vec<Arc<Call>>),
    Call(Arc<Call>),
    Test(Arc<EndedTest>),
}

impl Item {
    /// What it holds in memory, in bytes, more or less: what it shares with others is counted in full.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Request(request, calls) => request.memory() + calls.iter().map(|call| call.memory()).sum::<usize>(),
            Self::Call(call) => call.memory(),
            Self::Test(test) => size_of::<EndedTest>() + test.binary.len() + test.name.len(),
        }
    }

    /// How many of each kind it is.
    pub(super) fn count(&self) -> Counts {
        match self {
            Self::Request(_, calls) => Counts { requests: 1, calls: calls.len() as u64, tests: 0 },
            Self::Call(_) => Counts { calls: 1, ..Counts::default() },
            Self::Test(_) => Counts { tests: 1, ..Counts::default() },
        }
    }
}

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Calls.
    pub calls: u64,
    /// Tests.
    pub tests: u64,
}

impl Counts {
    /// Each count, with what it counts.
    pub(super) fn named(self) -> [(u64, &'static str); 3] {
        [(self.requests, "request"), (self.calls, "call"), (self.tests, "test")]
    }

    /// Whether there are none.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self { requests, calls, tests } = other;
        self.requests += requests;
        self.calls += calls;
        self.tests += tests;
    }
}
