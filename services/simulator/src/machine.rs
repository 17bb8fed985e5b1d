//! The true time of a batch, which the batcher has to learn.

use std::time::Duration;

use motet_batcher::{Measurement, Options, Time};

use crate::random::Random;

/// Noise is constant within a slot of time as long as a batch of this many tokens.
const SLOT_TOKENS: u64 = 2048;

/// An executor whose batches take `a + b * tokens` seconds, times noise, times a factor that may
/// change during the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Fixed seconds of a batch.
    pub a: f64,
    /// Seconds per token.
    pub b: f64,
    /// Standard deviation of the logarithm of the noise.
    pub noise: f64,
    /// Changes of speed, in order of time: from each time on, batches take this many times as long
    /// as at first.
    pub shifts: Vec<(Time, f64)>,
}

impl Machine {
    /// Creates a machine of constant speed: `a` in milliseconds, `b` in microseconds per token.
    pub fn new(a_ms: f64, b_us: f64, noise: f64) -> Self {
        Machine {
            a: a_ms * 1e-3,
            b: b_us * 1e-6,
            noise,
            shifts: Vec::new(),
        }
    }

    /// Expected seconds of a batch of `tokens` tokens at the first speed.
    pub fn seconds(&self, tokens: u64) -> f64 {
        self.a + self.b * tokens as f64
    }

    /// Rows per second in full batches of rows of `tokens` tokens in the mean.
    pub fn saturation(&self, options: &Options, tokens: f64) -> f64 {
        let rows_by_tokens = options.max_batch_tokens as f64 / tokens;
        let rows = rows_by_tokens.min(options.batch_rows_max() as f64);
        rows / (self.a + self.b * tokens * rows)
    }

    /// Returns the noise of a batch that starts now.
    ///
    /// It is the same within a slot about as long as a full batch: a machine has slow and fast
    /// moments, and policies that are compared meet the same ones (common random numbers) although
    /// their batches begin at different times.
    pub fn noise_at(&self, now: Time, seed: u64) -> Random {
        let slot = (now.seconds_since(Time::ZERO) / self.seconds(SLOT_TOKENS)) as u64;
        Random::new(seed.wrapping_mul(1_000_003) ^ (slot + 1))
    }

    /// Returns the time that a batch of `tokens` tokens takes if it starts now.
    pub fn run(&self, now: Time, tokens: u64, random: &mut Random) -> Duration {
        let factor = self
            .shifts
            .iter()
            .rev()
            .find(|(from, _)| *from <= now)
            .map_or(1.0, |(_, factor)| *factor);
        Duration::from_secs_f64(self.seconds(tokens) * factor * random.log_normal(self.noise))
    }

    /// Measures a grid of batches, as a model service does before it serves.
    pub fn warm_up(&self, random: &mut Random) -> Vec<Measurement> {
        let shapes = [(1, 16), (8, 128), (1, 128), (8, 1024), (1, 512), (4, 2048)];
        shapes
            .iter()
            .flat_map(|&(rows, tokens)| [(rows, tokens); 2])
            .map(|(rows, tokens)| Measurement {
                rows,
                tokens,
                duration: self.run(Time::ZERO, tokens, random),
            })
            .collect()
    }
}
