//! How the rows of a batch are shared among threads.

use motet_kernels::Parallelism;

/// Tokens that a group should not exceed.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTokens {
    /// Of a group for one thread.
    alone: usize,
    /// Of a group that all threads compute together.
    together: usize,
}

impl GroupTokens {
    /// Enough for every weight read to be used often, few enough for what is computed to stay in
    /// the second level cache.
    pub(super) const USUAL: Self = Self {
        alone: 192,
        together: 512,
    };
    /// Where others may wait for the end of a step: steps of half a millisecond for the smallest
    /// models, in which a weight is still used for many tokens.
    pub(super) const SHORT_STEPS: Self = Self {
        alone: 64,
        together: 128,
    };
}

/// Shares of single threads must keep all of them busy for this part of the time; else the threads
/// compute each group together, which costs a few meetings in each layer.
const BUSY_MIN: f64 = 0.9;

/// Groups of rows, by their numbers; every row is in one.
#[derive(Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) parallelism: Parallelism,
    /// For single threads in shares of nearly the same cost, one share after the other.
    pub(super) groups: Vec<Vec<usize>>,
}

/// Shares out rows of so many tokens. `square` is the cost of a row's every pair of tokens, in
/// costs of one token.
pub(super) fn schedule(rows: &[usize], square: f64, threads: usize, most: GroupTokens) -> Schedule {
    let cost = |row: usize| rows[row] as f64 * (1.0 + square * rows[row] as f64);
    let mut shares = vec![(0.0_f64, Vec::new()); threads];
    let mut longest_first: Vec<usize> = (0..rows.len()).collect();
    longest_first.sort_by_key(|row| std::cmp::Reverse(rows[*row]));
    for row in longest_first {
        if let Some(least) = shares.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0)) {
            least.0 += cost(row);
            least.1.push(row);
        }
    }
    let all: f64 = shares.iter().map(|share| share.0).sum();
    let longest = shares.iter().map(|share| share.0).fold(0.0, f64::max);
    if all >= BUSY_MIN * longest * threads as f64 {
        let groups = shares
            .iter()
            .flat_map(|share| cut(&share.1, rows, most.alone))
            .collect();
        return Schedule {
            parallelism: Parallelism::WithinThread,
            groups,
        };
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for (row, len) in rows.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if *len <= room => group.push(row),
            _ => {
                groups.push(vec![row]);
                room = most.together.max(*len);
            }
        }
        room -= len;
    }
    Schedule {
        parallelism: Parallelism::AcrossThreads,
        groups,
    }
}

/// Returns a share's rows, longest first, in groups of much the same size, of about `most` tokens
/// at most.
fn cut(share: &[usize], rows: &[usize], most: usize) -> Vec<Vec<usize>> {
    let tokens: usize = share.iter().map(|row| rows[*row]).sum();
    let size = tokens.div_ceil(tokens.div_ceil(most).max(1));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut filled = size;
    for row in share {
        match groups.last_mut() {
            Some(group) if filled < size => group.push(*row),
            _ => {
                groups.push(vec![*row]);
                filled = 0;
            }
        }
        filled += rows[*row];
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: f64 = 1.0 / 2304.0;

    fn check(rows: &[usize], threads: usize, expected: Parallelism, groups: usize) {
        let schedule = schedule(rows, SQUARE, threads, GroupTokens::USUAL);
        let mut seen: Vec<usize> = schedule.groups.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..rows.len()).collect::<Vec<_>>(), "{rows:?}");
        assert!(
            schedule.groups.iter().all(|group| !group.is_empty()),
            "{rows:?}"
        );
        assert_eq!(
            (schedule.parallelism, schedule.groups.len()),
            (expected, groups),
            "{rows:?} on {threads}"
        );
    }

    #[test]
    fn threads_work_alone_where_that_keeps_them_busy() {
        use Parallelism::{AcrossThreads, WithinThread};
        check(&[16], 1, WithinThread, 1);
        check(&[16], 2, AcrossThreads, 1);
        check(&[16, 16], 2, WithinThread, 2);
        check(&[128; 3], 2, AcrossThreads, 1);
        check(&[128; 3], 1, WithinThread, 2);
        check(&[128; 32], 2, WithinThread, 16);
        check(&[16; 32], 2, WithinThread, 4);
        check(&[256; 10], 2, WithinThread, 10);
        check(&[500; 3], 2, AcrossThreads, 3);
        check(&[900, 10, 20], 4, AcrossThreads, 2);
        check(&[90, 10, 20, 30, 60], 2, WithinThread, 2);
        check(&[256, 156, 95, 58, 35, 21, 13, 8], 2, WithinThread, 4);
        check(&[], 2, WithinThread, 0);
    }

    #[test]
    fn short_steps_are_those_of_small_groups() {
        let groups = |rows: &[usize], threads| {
            let most = GroupTokens::SHORT_STEPS;
            schedule(rows, SQUARE, threads, most).groups.len()
        };
        assert_eq!(groups(&[16; 32], 2), 8);
        // A row is never cut.
        assert_eq!(groups(&[256; 10], 2), 10);
        assert_eq!(groups(&[128; 3], 2), 3);
    }
}
