//! A request's time as a bar that reads without colour, and its legend.

use super::colors::{Paint, TextStyle};
use super::segments::{Lengths, Segment};
use super::table::{Cell, GAP};

/// The signs of a bar, explained: beside a title that takes `beside` columns, or beneath it where they do not
/// fit into `width`.
pub(super) fn legend(segments: &[Segment], beside: usize, width: usize, paint: Paint) -> String {
    const BESIDE: &str = "    ";
    const BENEATH: &str = "\n  ";
    let columns = |segment: &Segment| GAP + 2 + segment.name().len();
    let needed: usize = segments.iter().map(columns).sum();
    let fits = beside + BESIDE.len() + needed - GAP <= width;
    let mut legend = String::new();
    let mut used = 0;
    for segment in segments {
        let start = match used {
            0 if fits => BESIDE,
            0 => BENEATH,
            used if fits || used + columns(segment) <= width => "  ",
            _ => BENEATH,
        };
        used = if start == BENEATH { 0 } else { used } + columns(segment);
        let (name, sign) = segment.name_and_sign();
        let sign = paint.paint(TextStyle::Segment(*segment), sign);
        legend.extend([start, &sign, " ", &paint.paint(TextStyle::Faint, name)]);
    }
    legend
}

/// A bar of `columns` columns, which the segments share in proportion.
pub(super) fn bar(lengths: &Lengths, segments: &[Segment], columns: usize) -> Cell {
    let shares: Vec<u64> = segments.iter().map(|&segment| lengths.get(segment).unwrap_or(0)).collect();
    let mut bar = Cell::default();
    for (&segment, columns) in segments.iter().zip(apportion(&shares, columns)) {
        if columns > 0 {
            let (_, sign) = segment.name_and_sign();
            bar = bar.and(TextStyle::Segment(segment), sign.to_string().repeat(columns));
        }
    }
    bar
}

/// Shares `columns` out by the largest remainder, so that they always add up. Nothing is shared out
/// where there is no time at all.
fn apportion(lengths: &[u64], columns: usize) -> Vec<usize> {
    let total: u128 = lengths.iter().map(|&length| u128::from(length)).sum();
    if total == 0 {
        return vec![0; lengths.len()];
    }
    let exact: Vec<u128> = lengths.iter().map(|&length| u128::from(length) * columns as u128).collect();
    let mut shares: Vec<usize> = exact.iter().map(|exact| (exact / total) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..lengths.len()).collect();
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
    use crate::report::segments::PHASES;
    use proptest::prelude::*;

    #[test]
    fn columns_go_by_length() {
        assert_eq!(apportion(&[1, 0, 2, 1], 8), [2, 0, 4, 2]);
        assert_eq!(apportion(&[1, 1, 1, 0], 8), [3, 3, 2, 0]);
        assert_eq!(apportion(&[0, 0, 1000, 1], 8), [0, 0, 8, 0]);
        assert_eq!(apportion(&[0; 4], 8), [0; 4]);
    }

    #[test]
    fn a_legend_that_does_not_fit_beside_its_title_is_beneath_it() {
        let legend = |width| legend(&PHASES, 5, width, Paint { color: false });
        assert_eq!(legend(48), "    ░ queue  < receive  █ handle  > respond");
        assert_eq!(legend(47), "\n  ░ queue  < receive  █ handle  > respond");
        assert_eq!(legend(25), "\n  ░ queue  < receive\n  █ handle  > respond");
    }

    proptest! {
        #[test]
        fn every_column_is_given_once(lengths in any::<[u64; 9]>(), columns in 0usize..100) {
            let given: usize = apportion(&lengths, columns).iter().sum();
            prop_assert_eq!(given, if lengths == [0; 9] { 0 } else { columns });
        }
    }
}
