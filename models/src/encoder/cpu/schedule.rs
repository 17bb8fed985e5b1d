//! How the rows of a batch are shared among threads.

use super::workers::Workers;

/// Tokens of a group that one thread computes: enough for every weight read to be used often, few enough for what is computed
/// to stay in the second level cache.
const ALONE_TOKENS: usize = 128;
/// Tokens of a group that all threads compute together.
const TOGETHER_TOKENS: usize = 512;
/// Groups for single threads must keep this share of all threads busy; else the threads compute each group together, which costs
/// a few meetings in each layer.
const BUSY_MIN: f64 = 0.9;

/// Groups of rows, by their numbers; every row is in one.
#[derive(Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) workers: Workers,
    pub(super) groups: Vec<Vec<usize>>,
}

/// Shares out rows of so many tokens. `square` is the cost of a row's every pair of tokens, in costs of one token.
pub(super) fn schedule(rows: &[usize], square: f64, threads: usize) -> Schedule {
    let tokens: usize = rows.iter().sum();
    let cost = |row: usize| rows[row] as f64 * (1.0 + square * rows[row] as f64);
    let mut longest_first: Vec<usize> = (0..rows.len()).collect();
    longest_first.sort_by_key(|row| std::cmp::Reverse(rows[*row]));
    let rounds = tokens.div_ceil(threads * ALONE_TOKENS).max(1);
    let costs: Vec<f64> = longest_first.iter().map(|row| cost(*row)).collect();
    let (bins, loads) = spread(&costs, threads * rounds);
    let (_, busy) = spread(&loads, threads);
    let all: f64 = loads.iter().sum();
    let longest = busy.iter().copied().fold(0.0, f64::max);
    if all >= BUSY_MIN * longest * threads as f64 {
        let groups = bins
            .into_iter()
            .map(|bin| bin.into_iter().map(|at| longest_first[at]).collect());
        return Schedule {
            workers: Workers::One,
            groups: groups.collect(),
        };
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for (row, len) in rows.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if *len <= room => group.push(row),
            _ => {
                groups.push(vec![row]);
                room = TOGETHER_TOKENS.max(*len);
            }
        }
        room -= len;
    }
    Schedule {
        workers: Workers::All,
        groups,
    }
}

/// Puts each item, largest first, where least is; gives the items and the cost of each place that is not empty.
fn spread(costs: &[f64], places: usize) -> (Vec<Vec<usize>>, Vec<f64>) {
    let places = places.min(costs.len());
    let (mut items, mut loads) = (vec![Vec::new(); places], vec![0.0; places]);
    for (item, cost) in costs.iter().enumerate() {
        let least = (0..places).min_by(|a, b| f64::total_cmp(&loads[*a], &loads[*b]));
        if let Some(least) = least {
            items[least].push(item);
            loads[least] += cost;
        }
    }
    (items, loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: f64 = 1.0 / 2304.0;

    fn check(rows: &[usize], threads: usize, expected: Workers, groups: usize) {
        let schedule = schedule(rows, SQUARE, threads);
        let mut seen: Vec<usize> = schedule.groups.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..rows.len()).collect::<Vec<_>>(), "{rows:?}");
        assert!(
            schedule.groups.iter().all(|group| !group.is_empty()),
            "{rows:?}"
        );
        assert_eq!(
            (schedule.workers, schedule.groups.len()),
            (expected, groups),
            "{rows:?} on {threads}"
        );
    }

    #[test]
    fn threads_work_alone_where_that_keeps_them_busy() {
        use Workers::{All, One};
        check(&[16], 1, One, 1);
        check(&[16], 2, All, 1);
        check(&[16, 16], 2, One, 2);
        check(&[128; 3], 2, All, 1);
        check(&[128; 3], 1, One, 3);
        check(&[128; 32], 2, One, 32);
        check(&[16; 32], 2, One, 4);
        check(&[256; 11], 2, One, 11);
        check(&[500; 3], 2, All, 3);
        check(&[900, 10, 20], 4, All, 2);
        check(&[90, 10, 20, 30, 60], 2, One, 2);
        check(&[], 2, Workers::One, 0);
    }
}
