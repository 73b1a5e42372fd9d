//! The numbers of a route, a test or a run that a budget may limit.

/// A number of a route, a test or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The median of the total request times.
    P50,
    /// The 90th percentile of the total request times.
    P90,
    /// The 99th percentile of the total request times.
    P99,
    /// The largest total request time.
    Max,
    /// The mean of the total request times.
    Mean,
    /// The sum of the total request times.
    Total,
    /// The number of requests.
    Requests,
    /// The number of requests that the server failed.
    Errors,
    /// How long a test took.
    Duration,
}

impl Metric {
    /// The words for them. If there are two for one metric, our own word comes first.
    pub const WORDS: &[(&str, Self)] = &[
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("total", Self::Total),
        ("requests", Self::Requests),
        ("count", Self::Requests),
        ("errors", Self::Errors),
        ("duration", Self::Duration),
    ];

    /// Whether it is a time; otherwise it is a count.
    pub fn is_time(self) -> bool {
        !matches!(self, Self::Requests | Self::Errors)
    }
}

/// How a number compares with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
    /// `!=`
    Unequal,
}

impl Operator {
    /// How they are written.
    pub const WORDS: &[(&str, Self)] = &[
        ("<", Self::Less),
        ("<=", Self::AtMost),
        ("==", Self::Equal),
        (">=", Self::AtLeast),
        (">", Self::Greater),
        ("!=", Self::Unequal),
    ];

    /// Whether `value` compares with `bound` in this way.
    pub fn holds(self, value: u64, bound: u64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::Equal => value == bound,
            Self::AtLeast => value >= bound,
            Self::Greater => value > bound,
            Self::Unequal => value != bound,
        }
    }

    /// Whether a larger number can break the budget.
    pub fn is_upper_bound(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Equal)
    }
}
