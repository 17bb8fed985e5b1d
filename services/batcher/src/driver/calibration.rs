//! Times an executor before it serves, so that the first calls already have a known cost.

use std::time::{Duration, Instant};

use super::executor::Executor;
use crate::cost::Measurement;
use crate::options::Options;

/// Rows and tokens of each row that are timed: short and long rows, few and many.
const SHAPES: [(usize, u32); 6] = [(1, 16), (8, 16), (1, 128), (8, 64), (8, 128), (4, 256)];
/// Runs of each shape.
const REPEATS: usize = 2;
/// Runs that are expected to end later than this after the first are left out: a better estimate is
/// not worth a slower start.
const TIME_MAX: Duration = Duration::from_millis(500);

/// Times runs of [`Executor::sample`]s of several shapes; no row is longer than
/// [`Options::max_row_tokens`]. Takes about half a second. Empty if the executor has no samples.
pub fn measure<E: Executor>(executor: &mut E, options: &Options) -> Vec<Measurement> {
    let tokens_max = options.max_row_tokens.unwrap_or(u32::MAX);
    let shapes = SHAPES.map(|(rows, tokens)| (rows, tokens.min(tokens_max)));
    // The first run pays for allocations and cold caches.
    let _ = time(executor, shapes[0]);
    let began = Instant::now();
    let mut per_token = 0.0;
    let mut measurements: Vec<Measurement> = Vec::new();
    for shape in shapes.into_iter().flat_map(|shape| [shape; REPEATS]) {
        let tokens = shape.0 as f64 * f64::from(shape.1);
        let expected_end = began.elapsed().as_secs_f64() + per_token * tokens;
        if !measurements.is_empty() && expected_end > TIME_MAX.as_secs_f64() {
            break;
        }
        if let Some(measurement) = time(executor, shape) {
            per_token = measurement.duration.as_secs_f64() / (measurement.tokens as f64).max(1.0);
            measurements.push(measurement);
        }
    }
    measurements
}

/// Times one run; `None` if there are no samples or the run fails. If a failure matters, a batch of
/// a caller will fail and be reported.
fn time<E: Executor>(executor: &mut E, (rows, tokens): (usize, u32)) -> Option<Measurement> {
    let samples: Option<Vec<_>> = (0..rows).map(|_| executor.sample(tokens)).collect();
    let samples = samples?;
    let tokens = samples.iter().map(|(_, tokens)| u64::from(*tokens)).sum();
    let samples: Vec<&E::Row> = samples.iter().map(|(row, _)| row).collect();
    let started = Instant::now();
    executor.run(&samples).ok()?;
    Some(Measurement {
        rows,
        tokens,
        duration: started.elapsed(),
    })
}
