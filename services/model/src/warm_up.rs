//! Runs an encoder before it serves: memory is allocated, caches are warm, and the batcher knows what a batch costs.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use motet_batcher::Measurement;
use motet_models::{EncodeError, RowInput, RowOutput, TextEncoder};

use crate::cores::Place;

/// Rows x tokens that are timed, as far as limits and time allow: short and long, few and many.
const SHAPES: [(usize, usize); 6] = [(1, 16), (8, 16), (1, 128), (8, 64), (8, 128), (4, 256)];
/// Times that each shape is run.
const REPEATS: usize = 2;
/// A run that would end later than this after the first began is left out: nobody waits for a better guess.
const TIME_MAX: Duration = Duration::from_millis(500);

/// What is known about the encoders in use. Models that share one encoder share what was measured.
#[derive(Debug, Default)]
pub(crate) struct WarmUps(Mutex<Vec<(Weak<TextEncoder>, Known)>>);

/// What was measured of one encoder, once it was.
pub(crate) type Known = Arc<OnceLock<Vec<Measurement>>>;

impl WarmUps {
    /// What is known about this encoder; empty when it is new here.
    pub(crate) fn of(&self, encoder: &Arc<TextEncoder>) -> Known {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(encoder, _)| encoder.strong_count() > 0);
        let known = all
            .iter()
            .find(|(other, _)| Weak::as_ptr(other) == Arc::as_ptr(encoder));
        match known {
            Some((_, known)) => known.clone(),
            None => {
                let known = Known::default();
                all.push((Arc::downgrade(encoder), known.clone()));
                known
            }
        }
    }
}

/// Warms an encoder up on the thread that will run it. Whoever comes first measures it; the others, who wait meanwhile, only run it.
///
/// # Errors
/// When the device fails on the first, smallest run.
pub(crate) fn warm_up(
    encoder: &TextEncoder,
    place: &Place,
    output: RowOutput,
    tokens_max: usize,
    known: &OnceLock<Vec<Measurement>>,
) -> Result<(), EncodeError> {
    run(
        encoder,
        place,
        output,
        SHAPES[0].0,
        SHAPES[0].1.min(tokens_max),
    )?;
    known.get_or_init(|| measure(encoder, place, output, tokens_max));
    Ok(())
}

fn measure(
    encoder: &TextEncoder,
    place: &Place,
    output: RowOutput,
    tokens_max: usize,
) -> Vec<Measurement> {
    let began = Instant::now();
    let mut per_token = Duration::ZERO;
    let mut measurements = Vec::new();
    let shapes = SHAPES.map(|(rows, tokens)| (rows, tokens.min(tokens_max)));
    for (rows, tokens) in shapes.into_iter().flat_map(|shape| [shape; REPEATS]) {
        let all = (rows * tokens) as u32;
        if began.elapsed() + per_token * all > TIME_MAX && !measurements.is_empty() {
            break;
        }
        let started = Instant::now();
        // A shape that fails says nothing about its cost; if it matters, a caller's batch will fail and be reported.
        if run(encoder, place, output, rows, tokens).is_ok() {
            let duration = started.elapsed();
            per_token = duration / all;
            measurements.push(Measurement {
                rows,
                tokens: all.into(),
                duration,
            });
        }
    }
    measurements
}

fn run(
    encoder: &TextEncoder,
    place: &Place,
    output: RowOutput,
    rows: usize,
    tokens: usize,
) -> Result<(), EncodeError> {
    let config = encoder.config();
    let tokens = tokens.clamp(1, config.max_tokens);
    let ids = (0..tokens).map(|at| ((7 * at + 3) % config.encoder.vocab_size) as u32);
    let ids: Vec<u32> = ids.collect();
    place.encode(encoder, &vec![RowInput { ids: &ids, output }; rows])?;
    Ok(())
}
