//! Work by the time at which it falls due.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use crate::row::Work;
use crate::time::Time;

/// Nanoseconds, as a power of two, within which work counts as due together: about a millisecond.
const STEP_BITS: u32 = 20;
/// Steps of one level, as a power of two, that are one step of the next.
const LEVEL_BITS: u32 = 8;
/// Number of levels: the last is of few steps, whatever the times.
const LEVELS: usize = 6;

/// Sums of work, by steps of the time at which it falls due. Each level has longer steps than the
/// one before, so that a sum over all later steps takes few of each, however many there are.
#[derive(Debug, Default)]
pub(crate) struct DueWork {
    levels: [BTreeMap<u64, Work>; LEVELS],
}

fn step(due: Time, level: usize) -> u64 {
    due.as_nanos() >> (STEP_BITS + level as u32 * LEVEL_BITS)
}

impl DueWork {
    /// Adds work that falls due at `due`.
    pub(crate) fn add(&mut self, due: Time, work: Work) {
        for (level, steps) in self.levels.iter_mut().enumerate() {
            *steps.entry(step(due, level)).or_default() += work;
        }
    }

    /// Removes work that was added with this time.
    pub(crate) fn remove(&mut self, due: Time, work: Work) {
        for (level, steps) in self.levels.iter_mut().enumerate() {
            if let btree_map::Entry::Occupied(mut sum) = steps.entry(step(due, level)) {
                *sum.get_mut() = sum.get().minus(work);
                if sum.get().rows == 0 {
                    sum.remove();
                }
            }
        }
    }

    /// Returns the work that falls due after the step of `due`.
    pub(crate) fn after(&self, due: Time) -> Work {
        let mut after = Work::default();
        for (level, steps) in self.levels.iter().enumerate() {
            let step = step(due, level);
            // Later times are in a later step of the next level.
            let last = step | ((1 << LEVEL_BITS) - 1);
            let later = steps.range((Bound::Excluded(step), Bound::Included(last)));
            later.for_each(|(_, work)| after += *work);
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_after_a_time_is_that_of_all_later_steps() {
        let work = |tokens| Work { rows: 1, tokens };
        let mut all = Vec::new();
        let mut due = DueWork::default();
        // Times of every size, from neighbouring steps up to the end of time.
        for bits in (18..64).step_by(3) {
            for nanos in [(1_u64 << bits) - 1, 1 << bits, 3 << (bits - 1)] {
                all.push((
                    Time::ZERO.after(std::time::Duration::from_nanos(nanos)),
                    nanos >> 9,
                ));
            }
        }
        all.push((Time::NEVER, 7));
        all.iter()
            .for_each(|(time, tokens)| due.add(*time, work(*tokens)));
        while !all.is_empty() {
            for (time, _) in &all {
                let is_later = |other: &Time| step(*other, 0) > step(*time, 0);
                let mut expected = Work::default();
                for (_, tokens) in all.iter().filter(|(other, _)| is_later(other)) {
                    expected += work(*tokens);
                }
                assert_eq!(due.after(*time), expected, "after {time:?}");
            }
            let (time, tokens) = all.swap_remove(all.len() / 2);
            due.remove(time, work(tokens));
        }
        assert!(due.levels.iter().all(BTreeMap::is_empty));
    }
}
