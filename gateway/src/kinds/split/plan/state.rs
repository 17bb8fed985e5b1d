//! State of a `split` node that all requests share: its random numbers, and the number of shadows
//! that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most shadow arms of one node that run at a time. More are refused, and counted in the metrics.
pub const SHADOWS_MAX: usize = 64;

/// State of a `split` node that all requests share.
#[derive(Debug)]
pub struct SplitState {
    /// Hash of the names of pipeline and node, so that two splits on one key divide it differently.
    salt: u64,
    drawn: AtomicU64,
    running: Arc<Semaphore>,
}

impl SplitState {
    /// Returns the state of a `split` that no request has passed yet.
    pub fn new(pipeline: &str, node: &str) -> Self {
        Self {
            salt: hash(0, format!("{pipeline}/{node}").as_bytes()),
            drawn: AtomicU64::new(0),
            running: Arc::new(Semaphore::new(SHADOWS_MAX)),
        }
    }

    /// Returns a number in 0..1 that depends on the key alone.
    pub fn sticky_fraction(&self, key: &[u8]) -> f64 {
        fraction(hash(self.salt, key))
    }

    /// Returns a pseudo-random number in 0..1, another one for each call.
    pub fn random_fraction(&self) -> f64 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        fraction(mix(self.salt ^ mix(count)))
    }

    /// Returns a permit for one more shadow, to be held while it runs; `None` when
    /// [`SHADOWS_MAX`] shadows run.
    pub fn shadow_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.running.clone().try_acquire_owned().ok()
    }
}

/// Returns the index of the weight that `at`, a number in 0..1, falls on; the last weight above 0
/// if rounding leaves none.
///
/// ```
/// use motet_gateway::kinds::split::plan::pick_weighted;
///
/// let weights = [9.0, 0.0, 1.0];
/// assert_eq!(pick_weighted(weights.into_iter(), 0.5), 0);
/// assert_eq!(pick_weighted(weights.into_iter(), 0.95), 2);
/// ```
pub fn pick_weighted(weights: impl Iterator<Item = f64> + Clone, at: f64) -> usize {
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

/// Returns FNV-1a over the bytes, mixed so that every bit depends on every byte. Users rely on the
/// result: a key takes the same arm in every gateway and every version.
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

/// Returns the upper 53 bits as a number in 0..1.
#[allow(clippy::cast_precision_loss)]
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_picked_in_proportion_to_their_weights() {
        for (at, expected) in [(0.0, 0), (0.89, 0), (0.91, 2), (0.999_999, 2)] {
            assert_eq!(
                pick_weighted([9.0, 0.0, 1.0].into_iter(), at),
                expected,
                "{at}"
            );
        }
        assert_eq!(pick_weighted([0.0, 1.0, 0.0].into_iter(), 1.0), 1);
        let count = |of: &dyn Fn(u64) -> f64| {
            (0..10_000)
                .filter(|i| pick_weighted([95.0, 5.0].into_iter(), of(*i)) == 1)
                .count()
        };
        let by_key = count(&|i| fraction(hash(7, format!("user-{i}").as_bytes())));
        assert!((400..600).contains(&by_key), "{by_key}");
        let by_chance = count(&|i| fraction(mix(7 ^ mix(i))));
        assert!((400..600).contains(&by_chance), "{by_chance}");
    }

    /// These numbers are fixed: every version must divide users in the same way.
    #[test]
    fn a_key_takes_the_same_arm_in_every_version() {
        let keys = ["", "a", "user-1", "user-2"];
        let found = keys.map(|k| (fraction(hash(0, k.as_bytes())) * 1000.0).floor());
        assert_eq!(found, [763.0, 371.0, 943.0, 501.0]);
    }
}
