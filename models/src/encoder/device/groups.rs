//! Which rows of a batch attention takes together.

use std::ops::Range;

/// Rows are padded to a multiple of this many tokens: products of 16-bit numbers are fast where
/// their sides are.
pub(super) const STEP: usize = 8;
/// Cost of a further group, in scores (one query with one key of one row) that could be computed
/// instead: six more operations are queued on the device in each layer.
const GROUP_COST: usize = 1 << 18;
/// Most scores of all heads that a group of several rows may have, which bounds the memory for them
/// (half a gigabyte in f32).
const MOST_SCORES: usize = 1 << 27;

/// Rows that are padded to one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Which rows, by their number in the batch.
    pub(super) rows: Vec<usize>,
    /// Tokens that each is padded to, not less than any has.
    pub(super) padded: usize,
}

/// Splits rows, given by their numbers of tokens, none 0, into groups of similar length so that the
/// work on padding and the cost of groups are least together. Each row is in one group.
pub(super) fn split(tokens: &[usize], heads: usize) -> Vec<Group> {
    let padded = |row: usize| tokens[row].next_multiple_of(STEP);
    let mut rows: Vec<usize> = (0..tokens.len()).collect();
    rows.sort_by_key(|row| tokens[*row]);
    // Rows that need no deciding: those of one length when padded.
    let classes: Vec<&[usize]> = rows.chunk_by(|a, b| padded(*a) == padded(*b)).collect();
    let sizes: Vec<(usize, usize)> = classes
        .iter()
        .map(|rows| (rows.len(), padded(rows[0])))
        .collect();
    let mut groups = Vec::new();
    for classes in cheapest(&sizes) {
        let padded = sizes[classes.end - 1].1;
        let start: usize = sizes[..classes.start].iter().map(|(rows, _)| rows).sum();
        let count: usize = sizes[classes].iter().map(|(rows, _)| rows).sum();
        let most = (MOST_SCORES / (heads * padded * padded)).max(1);
        groups.extend(rows[start..start + count].chunks(most).map(|rows| Group {
            rows: rows.to_vec(),
            padded,
        }));
    }
    groups
}

/// Cuts classes of rows, each a number of rows and their padded length, ascending, into runs whose
/// cost is least in sum.
fn cheapest(classes: &[(usize, usize)]) -> Vec<Range<usize>> {
    // For each number of classes: the least cost of them, and where the last run of that begins.
    let mut best: Vec<(usize, usize)> = vec![(0, 0)];
    for end in 1..=classes.len() {
        let longest = classes[end - 1].1;
        let mut rows = 0;
        let starts = (0..end).rev().map(|start| {
            rows += classes[start].0;
            (best[start].0 + GROUP_COST + rows * longest * longest, start)
        });
        let least = starts.min();
        best.extend(least);
    }
    let mut runs = Vec::new();
    let mut end = classes.len();
    while end > 0 {
        let start = best[end].1;
        runs.push(start..end);
        end = start;
    }
    runs.reverse();
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(rows: &[usize], padded: usize) -> Group {
        Group {
            rows: rows.to_vec(),
            padded,
        }
    }

    #[test]
    fn few_rows_are_one_group() {
        assert_eq!(split(&[11], 12), [group(&[0], 16)]);
        assert_eq!(split(&[16, 9, 40], 12), [group(&[1, 0, 2], 40)]);
    }

    #[test]
    fn many_short_rows_are_not_padded_to_long_ones() {
        let mut tokens = vec![10; 100];
        tokens[50] = 256;
        let groups = split(&tokens, 12);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].rows.len(), groups[0].padded), (99, 16));
        assert_eq!(groups[1], group(&[50], 256));
    }

    #[test]
    fn scores_are_bounded_unless_one_row_has_more() {
        let groups = split(&[512; 100], 16);
        assert_eq!(groups.len(), 4);
        assert!(groups.iter().all(|group| group.rows.len() <= 32));
        assert_eq!(split(&[4096; 3], 16).len(), 3);
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_group(tokens in prop::collection::vec(1usize..600, 1..200)) {
            let groups = split(&tokens, 12);
            let mut seen: Vec<usize> = groups.iter().flat_map(|group| group.rows.clone()).collect();
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..tokens.len()));
            for group in groups {
                prop_assert!(group.rows.iter().all(|row| tokens[*row] <= group.padded));
            }
        }

        #[test]
        fn no_other_cut_is_cheaper(classes in prop::collection::btree_map(1usize..70, 1usize..20, 1..9)) {
            let classes: Vec<(usize, usize)> = classes.into_iter().map(|(steps, rows)| (rows, steps * 8)).collect();
            let cost = |runs: &[Range<usize>]| -> usize {
                let run = |run: &Range<usize>| {
                    let rows: usize = classes[run.clone()].iter().map(|class| class.0).sum();
                    GROUP_COST + rows * classes[run.end - 1].1.pow(2)
                };
                runs.iter().map(run).sum()
            };
            let found = cost(&cheapest(&classes));
            for cuts in 0u32..1 << (classes.len() - 1) {
                let mut runs = Vec::new();
                let mut start = 0;
                for end in 1..=classes.len() {
                    if end == classes.len() || cuts & (1 << (end - 1)) != 0 {
                        runs.push(start..end);
                        start = end;
                    }
                }
                prop_assert!(found <= cost(&runs));
            }
        }
    }
}
