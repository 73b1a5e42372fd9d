//! The phases of a request as a bar that reads without colour.

use super::colors::{Paint, Role};
use super::table::Cell;
use crate::request::boundaries::Phases;

/// Name and sign of each phase, in the order of [`Phases::named`].
const PHASES: [(&str, char); 4] = [("queue", '░'), ("receive", '<'), ("handle", '█'), ("respond", '>')];

/// The names of the phases, in the order of [`Phases::named`].
pub(super) const NAMES: [&str; 4] = [PHASES[0].0, PHASES[1].0, PHASES[2].0, PHASES[3].0];

/// The signs of a bar, explained.
pub(super) fn legend(paint: Paint) -> String {
    let sign = |index: usize| {
        let (name, sign) = PHASES[index];
        format!("{} {}", paint.paint(Role::Phase(index), sign), paint.paint(Role::Faint, name))
    };
    [0, 1, 2, 3].map(sign).join("  ")
}

/// A bar of `columns` columns, which the phases share in proportion.
pub(super) fn bar(phases: &Phases, columns: usize) -> Cell {
    let lengths = phases.named().map(|(_, length)| length.unwrap_or(0));
    let mut bar = Cell::default();
    for (index, columns) in apportion(lengths, columns).into_iter().enumerate() {
        if columns > 0 {
            let (_, sign) = PHASES[index];
            bar = bar.and(Role::Phase(index), sign.to_string().repeat(columns));
        }
    }
    bar
}

/// Shares `columns` out by the largest remainder, so that they always add up. Nothing is shared out
/// where there is no time at all.
fn apportion(lengths: [u64; 4], columns: usize) -> [usize; 4] {
    let total: u128 = lengths.iter().map(|&length| u128::from(length)).sum();
    if total == 0 {
        return [0; 4];
    }
    let exact = lengths.map(|length| u128::from(length) * columns as u128);
    let mut shares = exact.map(|exact| (exact / total) as usize);
    let mut by_remainder = [0, 1, 2, 3];
    by_remainder.sort_by_key(|&index| std::cmp::Reverse(exact[index] % total));
    let left = columns - shares.iter().sum::<usize>();
    for &index in by_remainder.iter().take(left) {
        shares[index] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_go_by_length() {
        assert_eq!(apportion([1, 0, 2, 1], 8), [2, 0, 4, 2]);
        assert_eq!(apportion([1, 1, 1, 0], 8), [3, 3, 2, 0]);
        assert_eq!(apportion([0, 0, 1000, 1], 8), [0, 0, 8, 0]);
        assert_eq!(apportion([0; 4], 8), [0; 4]);
    }

    #[test]
    fn names_are_those_of_the_model() {
        assert_eq!(Phases::default().named().map(|(name, _)| name), NAMES);
    }

    proptest! {
        #[test]
        fn every_column_is_given_once(lengths in any::<[u64; 4]>(), columns in 0usize..100) {
            let given: usize = apportion(lengths, columns).iter().sum();
            prop_assert_eq!(given, if lengths == [0; 4] { 0 } else { columns });
        }
    }
}
