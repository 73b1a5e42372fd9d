//! What a run was held against, and what came of it.

use cargo_beyla_core::analysis::baseline::compare::Comparison;
use cargo_beyla_core::analysis::budget::judge::BudgetVerdict;

/// What a run was held against, and what came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// A row a budget, in the order in which they were given.
    pub budgets: Vec<BudgetVerdict>,
    /// What the baseline says, if there was one.
    pub comparison: Option<Comparison>,
}

impl Verdicts {
    /// Whether a budget fails the run.
    pub fn fails(&self) -> bool {
        self.budgets.iter().any(BudgetVerdict::fails)
    }
}
