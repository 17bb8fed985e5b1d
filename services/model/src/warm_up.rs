//! The first runs of an encoder, before it serves: memory is allocated, caches are warm, and the
//! time of a batch is measured.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use motet_batcher::Measurement;
use motet_models::{EncodeError, TextEncoder};

use crate::executor::EncoderExecutor;

/// Rows and tokens of each row that are timed, as far as the limits allow: short and long rows, few
/// and many.
const SHAPES: [(usize, usize); 6] = [(1, 16), (8, 16), (1, 128), (8, 64), (8, 128), (4, 256)];
/// Runs of each shape.
const REPEATS: usize = 2;
/// Runs that are expected to end later than this after the first are left out: a better estimate is
/// not worth a slower start.
const TIME_MAX: Duration = Duration::from_millis(500);

/// The times of one encoder's batches; empty until the first executor has measured them.
pub(crate) type Measurements = Arc<OnceLock<Vec<Measurement>>>;

/// The measurements of all encoders in use. Models that share an encoder share them.
#[derive(Debug, Default)]
pub(crate) struct MeasurementCache(Mutex<Vec<(Weak<TextEncoder>, Measurements)>>);

impl MeasurementCache {
    /// Returns the measurements of an encoder, empty ones if it is new.
    pub(crate) fn of(&self, encoder: &Arc<TextEncoder>) -> Measurements {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(encoder, _)| encoder.strong_count() > 0);
        let entry = entries
            .iter()
            .find(|(other, _)| Weak::as_ptr(other) == Arc::as_ptr(encoder));
        match entry {
            Some((_, measurements)) => measurements.clone(),
            None => {
                let measurements = Measurements::default();
                entries.push((Arc::downgrade(encoder), measurements.clone()));
                measurements
            }
        }
    }
}

/// Warms an executor up on its own thread. The first executor of an encoder measures it; the others
/// wait for that and run only the smallest shape. No row is longer than `tokens_max`.
///
/// # Errors
/// When the device fails on the smallest shape.
pub(crate) fn warm_up(
    executor: &EncoderExecutor,
    tokens_max: usize,
    measurements: &OnceLock<Vec<Measurement>>,
) -> Result<(), EncodeError> {
    let (rows, tokens) = SHAPES[0];
    run(executor, rows, tokens.min(tokens_max))?;
    measurements.get_or_init(|| measure(executor, tokens_max));
    Ok(())
}

fn measure(executor: &EncoderExecutor, tokens_max: usize) -> Vec<Measurement> {
    let began = Instant::now();
    let mut per_token = Duration::ZERO;
    let mut measurements = Vec::new();
    let shapes = SHAPES.map(|(rows, tokens)| (rows, tokens.min(tokens_max)));
    for (rows, tokens) in shapes.into_iter().flat_map(|shape| [shape; REPEATS]) {
        let total = (rows * tokens) as u32;
        if began.elapsed() + per_token * total > TIME_MAX && !measurements.is_empty() {
            break;
        }
        let started = Instant::now();
        // A shape that fails is left out: if it matters, the batch of a caller will fail and be
        // reported.
        if run(executor, rows, tokens).is_ok() {
            let duration = started.elapsed();
            per_token = duration / total;
            measurements.push(Measurement {
                rows,
                tokens: total.into(),
                duration,
            });
        }
    }
    measurements
}

/// Runs a batch of made-up rows of this many tokens each.
fn run(executor: &EncoderExecutor, rows: usize, tokens: usize) -> Result<(), EncodeError> {
    let config = executor.encoder().config();
    let tokens = tokens.clamp(1, config.max_tokens);
    let ids = (0..tokens).map(|at| ((7 * at + 3) % config.encoder.vocab_size) as u32);
    let ids: Vec<u32> = ids.collect();
    executor.encode(&vec![executor.input(&ids); rows])?;
    Ok(())
}
