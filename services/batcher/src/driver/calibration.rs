//! Times an executor before it serves, so that the first calls already have a known cost.

use std::time::Instant;

use super::executor::Executor;
use crate::cost::Measurement;
use crate::options::Options;

/// Rows x tokens that are timed, where the limits allow: short and long, few and many.
const GRID: [(usize, u32); 6] = [(1, 16), (8, 16), (1, 128), (8, 128), (1, 512), (4, 512)];
/// Times that each shape is run.
const REPEATS: usize = 2;

/// Runs the grid; the first run, which pays for allocations and caches, is discarded. Empty if the executor makes no samples.
pub(crate) fn measure<E: Executor>(executor: &mut E, options: &Options) -> Vec<Measurement> {
    let tokens_max = options.max_row_tokens.unwrap_or(u32::MAX);
    let mut shapes: Vec<(usize, u32)> = GRID
        .iter()
        .map(|&(rows, tokens)| (rows.min(options.max_batch_size), tokens.min(tokens_max)))
        .collect();
    shapes.retain(|&(rows, tokens)| rows as u64 * u64::from(tokens) <= options.max_batch_tokens);
    shapes.dedup();
    let first = shapes.first().copied().into_iter();
    let runs = first.chain(
        shapes
            .iter()
            .flat_map(|&shape| std::iter::repeat_n(shape, REPEATS)),
    );
    let mut measurements = Vec::new();
    for (number, (rows, tokens)) in runs.enumerate() {
        let Some(samples) = (0..rows)
            .map(|_| executor.sample(tokens))
            .collect::<Option<Vec<_>>>()
        else {
            break;
        };
        let samples: Vec<&E::Row> = samples.iter().collect();
        let started = Instant::now();
        // A shape that fails here says nothing about its cost; if it matters, a caller's batch will fail and be reported.
        if executor.run(&samples).is_ok() && number > 0 {
            measurements.push(Measurement {
                rows,
                tokens: rows as u64 * u64::from(tokens),
                duration: started.elapsed(),
            });
        }
    }
    measurements
}
