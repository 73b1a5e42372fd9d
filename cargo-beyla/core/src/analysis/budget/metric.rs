//! What a budget is about: a number of a route, a test or a run.

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The median of the total request times.
    P50,
    /// Their 90th percentile.
    P90,
    /// Their 99th percentile.
    P99,
    /// The largest of them.
    Max,
    /// Their mean.
    Mean,
    /// Their sum.
    Total,
    /// How many requests there were.
    Requests,
    /// How many of these the server failed.
    Errors,
    /// How long a test took.
    Duration,
}

impl Metric {
    /// The words for them; of two for one, the first is ours.
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

    /// Whether it is a time; else it is a count.
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
    /// As they are written.
    pub const WORDS: &[(&str, Self)] = &[
        ("<", Self::Less),
        ("<=", Self::AtMost),
        ("==", Self::Equal),
        (">=", Self::AtLeast),
        (">", Self::Greater),
        ("!=", Self::Unequal),
    ];

    /// Whether `value` compares so with `bound`.
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

    /// Whether more of it can break the budget.
    pub fn is_upper_bound(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Equal)
    }
}
