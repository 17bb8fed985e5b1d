//! What a `split` remembers between requests: where its dice are, and which shadows run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use motet_runtime::metrics::{Metrics, ShadowMetrics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::check::{Body, Split};

/// The most shadow arms of one node that run at a time; more are refused, and counted as such.
pub const SHADOWS_MAX: usize = 64;

/// What a `split` remembers between requests.
#[derive(Debug)]
pub struct SplitState {
    /// What the node's name comes to: two splits on one key divide differently.
    salt: u64,
    thrown: AtomicU64,
    running: Arc<Semaphore>,
    /// One for each shadow arm.
    pub metrics: Vec<ShadowMetrics>,
}

impl SplitState {
    /// A `split` that nothing has run through.
    pub fn new(pipeline: &str, node: &str, split: &Split, metrics: &Metrics) -> Self {
        let arm = |(_, body): &(f64, Arc<Body>)| metrics.shadow(pipeline, node, &body.name);
        Self {
            salt: hash(0, format!("{pipeline}/{node}").as_bytes()),
            thrown: AtomicU64::new(0),
            running: Arc::new(Semaphore::new(SHADOWS_MAX)),
            metrics: split.shadow.iter().map(arm).collect(),
        }
    }

    /// A number from 0 to below 1 that only the key decides.
    pub fn of_key(&self, key: &[u8]) -> f64 {
        fraction(hash(self.salt, key))
    }

    /// A number from 0 to below 1 that no request can foresee from its own content.
    pub fn throw(&self) -> f64 {
        let count = self.thrown.fetch_add(1, Ordering::Relaxed);
        fraction(mix(self.salt ^ mix(count)))
    }

    /// Leave to run one more shadow, for as long as it is held.
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.running.clone().try_acquire_owned().ok()
    }
}

/// Which of some weights a number from 0 to below 1 falls on; the last that is not 0 where
/// rounding leaves none.
pub fn pick(weights: impl Iterator<Item = f64> + Clone, at: f64) -> usize {
    let total: f64 = weights.clone().sum();
    let mut left = at * total;
    let mut picked = 0;
    for (index, weight) in weights.enumerate() {
        if weight <= 0.0 {
            continue;
        }
        picked = index;
        if left < weight {
            break;
        }
        left -= weight;
    }
    picked
}

/// FNV-1a over the bytes, then mixed so that every bit depends on every byte. Part of what users
/// rely on: a key takes the same arm in every gateway and every version.
fn hash(salt: u64, bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    mix(bytes.iter().fold(OFFSET ^ salt, fold))
}

/// The finalizer of SplitMix64.
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[allow(clippy::cast_precision_loss)]
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_met_and_keys_stick() {
        for (at, expected) in [(0.0, 0), (0.89, 0), (0.91, 2), (0.999_999, 2)] {
            assert_eq!(pick([9.0, 0.0, 1.0].into_iter(), at), expected, "{at}");
        }
        assert_eq!(pick([0.0, 1.0, 0.0].into_iter(), 1.0), 1);
        let count = |of: &dyn Fn(u64) -> f64| {
            (0..10_000)
                .filter(|i| pick([95.0, 5.0].into_iter(), of(*i)) == 1)
                .count()
        };
        let by_key = count(&|i| fraction(hash(7, format!("user-{i}").as_bytes())));
        assert!((400..600).contains(&by_key), "{by_key}");
        let by_throw = count(&|i| fraction(mix(7 ^ mix(i))));
        assert!((400..600).contains(&by_throw), "{by_throw}");
    }

    /// These numbers are a promise: another version must divide users in the same way.
    #[test]
    fn keys_take_the_same_arm_for_ever() {
        let keys = ["", "a", "user-1", "user-2"];
        let found = keys.map(|k| (fraction(hash(0, k.as_bytes())) * 1000.0).floor());
        assert_eq!(found, [763.0, 371.0, 943.0, 501.0]);
    }
}
