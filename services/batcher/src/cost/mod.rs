//! The time of a batch, `t(tokens) = a + b * tokens`, learnt from every batch that ran.
//!
//! Least squares with forgetting (Plackett 1950; Ljung, *System Identification*, ch. 11), on
//! relative errors, so that short and long batches weigh alike. Live batches may all have one size,
//! which does not determine the slope; two pseudo-measurements far apart (anchors), taken from
//! calibration and following the general drift, keep the fit determined. Single outliers are
//! clipped; a lasting shift is followed within four batches.
//!
//! * `least_squares`: the weighted fit of a line

mod least_squares;

use std::time::Duration;

use least_squares::{FORGETTING, Sums};

/// Token counts of the two anchors.
const ANCHOR_TOKENS: [f64; 2] = [16.0, 4096.0];
/// Weight of a calibrated anchor, relative to one batch.
const ANCHOR_WEIGHT: f64 = 1.0;
/// Weight of an anchor guessed from the first batch: at first, and the least that keeps the fit
/// determined.
const GUESS_WEIGHT: [f64; 2] = [0.1, 1e-4];
/// Rate at which the anchors follow the measured batches.
const DRIFT_RATE: f64 = 0.03;
/// An error above this multiple of the usual one is an outlier.
const OUTLIER: f64 = 4.0;
/// Smallest usual relative error.
const ERROR_MIN: f64 = 0.03;
/// Rate at which the usual error is learnt.
const ERROR_RATE: f64 = 0.05;
/// Number of consecutive outliers of one sign that make a shift.
const SHIFT_AFTER: usize = 4;
/// Quantile of the batches that the safe estimate covers.
const SAFE_QUANTILE: f64 = 0.95;
/// Step of the running quantile (stochastic approximation, Robbins and Monro 1951).
const SAFE_STEP: f64 = 0.05;
/// Ratio of the safe estimate to the expected one before anything was learnt.
const SAFE_START: f64 = 1.2;
/// Largest ratio of the safe estimate to the expected one.
const SAFE_MAX: f64 = 3.0;
/// A longer batch than one that spends this many times its fixed part on its tokens saves next to
/// nothing: less than a hundredth of its time.
const USEFUL_RATIO: f64 = 100.0;
/// No batch of at most this many tokens counts as longer than useful: a fixed part that is learnt
/// from short batches can be too small.
const USEFUL_TOKENS_MIN: u64 = 1024;
/// Shortest duration that is believed, in seconds.
const SECONDS_MIN: f64 = 1e-9;

/// One timed run of an executor before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Rows in the run.
    pub rows: usize,
    /// Tokens that the run computed: the sum of its rows, or rows x longest where the executor
    /// pads.
    pub tokens: u64,
    /// Time that it took.
    pub duration: Duration,
}

/// The learnt cost of a batch. Until the first measurement it predicts zero, so that nothing is
/// refused on a guess.
///
/// ```
/// use std::time::Duration;
///
/// use motet_batcher::{CostModel, Measurement};
///
/// // 3 ms per batch and 10 µs per token.
/// let run = |tokens| Measurement {
///     rows: 1,
///     tokens,
///     duration: Duration::from_micros(3000 + 10 * tokens),
/// };
/// let mut cost = CostModel::default();
/// cost.calibrate(&[run(16), run(4096)]);
/// assert!((cost.predict(1000) - 0.013).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct CostModel {
    /// Fixed seconds of a batch.
    a: f64,
    /// Seconds per token.
    b: f64,
    sums: Sums,
    /// `None` before the first measurement.
    anchors: Option<Anchors>,
    /// Factor by which measured batches differ from the line through the anchors.
    drift: f64,
    /// Usual relative error of a prediction.
    error: f64,
    /// Ratios of measured to predicted time of the latest outliers, all of one sign.
    outliers: Vec<f64>,
    /// Ratio of the safe estimate to the expected one.
    safe: f64,
}

/// The line through the anchors before drift, and the weight of each anchor.
#[derive(Clone, Copy, Debug)]
struct Anchors {
    a: f64,
    b: f64,
    weight: f64,
}

impl Default for CostModel {
    fn default() -> Self {
        CostModel {
            a: 0.0,
            b: 0.0,
            sums: Sums::default(),
            anchors: None,
            drift: 1.0,
            error: 0.1,
            outliers: Vec::new(),
            safe: SAFE_START,
        }
    }
}

impl CostModel {
    /// Learns from runs made before serving. Without a usable run, nothing changes.
    pub fn calibrate(&mut self, measurements: &[Measurement]) {
        let mut sums = Sums::default();
        for measurement in measurements {
            let seconds = measurement.duration.as_secs_f64().max(SECONDS_MIN);
            sums.add(
                measurement.tokens as f64,
                seconds,
                1.0 / (seconds * seconds),
            );
        }
        if let Some((a, b)) = sums.fit() {
            *self = CostModel {
                a,
                b,
                anchors: Some(Anchors {
                    a,
                    b,
                    weight: ANCHOR_WEIGHT,
                }),
                ..CostModel::default()
            };
        }
    }

    /// Learns from a batch of `tokens` tokens that ran well.
    pub fn observe(&mut self, tokens: u64, duration: Duration) {
        let x = tokens as f64;
        let seconds = duration.as_secs_f64().max(SECONDS_MIN);
        if self.anchors.is_none() {
            // One batch does not tell its fixed part from the rest: assume half, and let the next
            // batches decide.
            (self.a, self.b) = (0.5 * seconds, 0.5 * seconds / x.max(1.0));
            self.anchors = Some(Anchors {
                a: self.a,
                b: self.b,
                weight: GUESS_WEIGHT[0],
            });
        }
        let predicted = self.predict(tokens).max(SECONDS_MIN);
        let ratio = seconds / predicted;
        self.follow_quantile(ratio);

        let bound = OUTLIER * self.error;
        let error = ratio - 1.0;
        if error.abs() <= bound {
            self.outliers.clear();
        } else {
            if self
                .outliers
                .last()
                .is_some_and(|last| (last - 1.0) * error < 0.0)
            {
                self.outliers.clear();
            }
            self.outliers.push(ratio);
            if self.outliers.len() >= SHIFT_AFTER {
                return self.shift();
            }
        }
        let clipped = error.clamp(-bound, bound).max(-0.9);
        self.error = (self.error + ERROR_RATE * (clipped.abs() - self.error)).max(ERROR_MIN);
        let believed = predicted * (1.0 + clipped);
        if let Some(Anchors { a, b, weight }) = &mut self.anchors {
            let drift = believed / (*a + *b * x).max(SECONDS_MIN);
            if *weight < ANCHOR_WEIGHT {
                *weight = (*weight * FORGETTING).max(GUESS_WEIGHT[1]);
            }
            self.drift += DRIFT_RATE * (drift - self.drift);
        }
        self.sums.forget();
        self.sums.add(x, believed, 1.0 / (predicted * predicted));
        self.refit();
    }

    fn refit(&mut self) {
        let mut sums = self.sums;
        if let Some(Anchors { a, b, weight }) = self.anchors {
            for x in ANCHOR_TOKENS {
                let y = ((a + b * x) * self.drift).max(SECONDS_MIN);
                sums.add(x, y, weight / (y * y));
            }
        }
        if let Some((a, b)) = sums.fit() {
            (self.a, self.b) = (a, b);
        }
    }

    /// Follows a lasting change of speed: another clock rate, or another process on the machine.
    fn shift(&mut self) {
        let logs: f64 = self.outliers.iter().map(|ratio| ratio.ln()).sum();
        let ratio = (logs / self.outliers.len() as f64).exp();
        self.outliers.clear();
        self.a *= ratio;
        self.b *= ratio;
        self.drift *= ratio;
        self.sums.rescale(ratio);
        self.safe = SAFE_START;
    }

    fn follow_quantile(&mut self, ratio: f64) {
        let step = if ratio > self.safe {
            SAFE_QUANTILE
        } else {
            SAFE_QUANTILE - 1.0
        };
        self.safe = (self.safe + SAFE_STEP * step).clamp(1.0, SAFE_MAX);
    }

    /// Expected seconds of a batch of `tokens` tokens.
    pub fn predict(&self, tokens: u64) -> f64 {
        self.a + self.b * tokens as f64
    }

    /// Seconds within which 95 of 100 batches of `tokens` tokens end.
    pub fn predict_safe(&self, tokens: u64) -> f64 {
        self.safe * self.predict(tokens)
    }

    /// Fixed seconds of a batch, whatever its size.
    pub fn fixed_seconds(&self) -> f64 {
        self.a
    }

    /// Seconds per token.
    pub fn seconds_per_token(&self) -> f64 {
        self.b
    }

    /// Tokens of a batch beyond which a longer one saves next to nothing, while all of its callers
    /// wait for its end. No limit while nothing is known.
    pub fn useful_batch_tokens(&self) -> u64 {
        if !self.is_known() {
            return u64::MAX;
        }
        // Infinite where tokens cost nothing.
        let tokens = USEFUL_RATIO * self.a / self.b;
        (tokens as u64).max(USEFUL_TOKENS_MIN)
    }

    /// Ratio of the safe estimate to the expected one, 1 to 3.
    pub fn safety(&self) -> f64 {
        self.safe
    }

    /// Usual relative error of a prediction: 0.05 is 5 %.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// `true` once a batch has been measured.
    pub fn is_known(&self) -> bool {
        self.anchors.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn calibrated(a: f64, b: f64) -> CostModel {
        let mut cost = CostModel::default();
        let grid: Vec<_> = [16, 128, 1024, 4096]
            .into_iter()
            .map(|tokens| Measurement {
                rows: 1,
                tokens,
                duration: seconds(a + b * tokens as f64),
            })
            .collect();
        cost.calibrate(&grid);
        cost
    }

    fn assert_near(actual: f64, expected: f64, tolerance: f64) {
        assert!(
            (actual / expected - 1.0).abs() < tolerance,
            "{actual} is not within {tolerance} of {expected}"
        );
    }

    #[test]
    fn an_unknown_cost_is_zero_and_then_learnt() {
        let mut cost = CostModel::default();
        assert_eq!(cost.predict(1000), 0.0);
        for n in 0..300 {
            let tokens = 100 + 37 * (n % 20);
            cost.observe(tokens, seconds(3e-3 + 160e-6 * tokens as f64));
        }
        assert_near(cost.fixed_seconds(), 3e-3, 0.1);
        assert_near(cost.seconds_per_token(), 160e-6, 0.02);
    }

    #[test]
    fn a_batch_is_long_enough_once_its_fixed_part_is_a_hundredth() {
        // Fixed milliseconds and microseconds per token, and the useful tokens.
        for (a, b, tokens) in [
            (3.0, 160.0, 1875),
            (3.0, 0.2, 1_500_000),
            (0.1, 400.0, 1024),
        ] {
            let cost = calibrated(a * 1e-3, b * 1e-6);
            let found = cost.useful_batch_tokens();
            assert_near(found as f64, f64::from(tokens), 0.01);
        }
        assert_eq!(CostModel::default().useful_batch_tokens(), u64::MAX);
        assert_eq!(calibrated(3e-3, 0.0).useful_batch_tokens(), u64::MAX);
    }

    #[test]
    fn calibration_holds_where_all_batches_have_one_size() {
        let mut cost = calibrated(3e-3, 0.2e-6);
        for _ in 0..1000 {
            cost.observe(64, seconds(3e-3 + 0.2e-6 * 64.0));
        }
        assert_near(cost.fixed_seconds(), 3e-3, 0.01);
        assert_near(cost.seconds_per_token(), 0.2e-6, 0.05);
    }

    #[test]
    fn an_outlier_is_ignored_and_a_shift_is_followed() {
        let mut cost = calibrated(5e-3, 400e-6);
        for _ in 0..50 {
            cost.observe(256, seconds(5e-3 + 400e-6 * 256.0));
        }
        let before = cost.predict(256);
        cost.observe(256, seconds(20.0));
        assert_near(cost.predict(256), before, 0.05);
        for _ in 0..8 {
            cost.observe(256, seconds(3.0 * before));
        }
        assert_near(cost.predict(256), 3.0 * before, 0.05);
        assert_near(cost.predict(512), 3.0 * (5e-3 + 400e-6 * 512.0), 0.1);
    }

    #[test]
    fn the_safe_estimate_covers_the_noise() {
        let mut cost = calibrated(3e-3, 1e-6);
        let mut covered = 0;
        for n in 0..2000_u64 {
            let noise = 1.0 + 0.3 * ((n * 7919 % 100) as f64 / 100.0 - 0.5);
            let duration = (3e-3 + 1e-6 * 500.0) * noise;
            covered += u64::from(n >= 1000 && duration <= cost.predict_safe(500));
            cost.observe(500, seconds(duration));
        }
        assert!(
            (900..1000).contains(&covered),
            "{covered} of 1000 within the safe estimate"
        );
    }

    proptest! {
        #[test]
        fn a_prediction_stays_finite_and_monotone(
            runs in prop::collection::vec((0_u64..u64::MAX, 0_u64..1 << 60), 0..200),
        ) {
            let mut cost = CostModel::default();
            for (tokens, nanos) in runs {
                cost.observe(tokens, Duration::from_nanos(nanos));
                let (a, b) = (cost.fixed_seconds(), cost.seconds_per_token());
                prop_assert!(a.is_finite() && a >= 0.0, "a = {a}");
                prop_assert!(b.is_finite() && b >= 0.0, "b = {b}");
                prop_assert!(cost.predict(1) <= cost.predict(1_000_000));
                prop_assert!(cost.predict_safe(100) >= cost.predict(100));
            }
        }
    }
}
