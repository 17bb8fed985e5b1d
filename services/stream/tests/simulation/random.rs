//! Chance by a seed.

use std::time::Duration;

/// A generator (SplitMix64).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Returns `true` once in `of` times.
    pub(super) fn one_of(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }

    /// Returns a time up to `most`; half of them are short.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).expect("a short time");
        let most = if self.one_of(2) { most / 50 } else { most };
        Duration::from_millis(self.next() % (most + 1))
    }
}
