//! Callers in a closed loop, for benchmarks.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Returns `count` English words. They differ with `salt`.
pub fn words(count: usize, salt: usize) -> String {
    const WORDS: [&str; 24] = [
        "the", "tide", "follows", "moon", "and", "vaccines", "train", "cells", "to", "remember",
        "a", "pathogen", "while", "bread", "needs", "yeast", "water", "salt", "of", "engines",
        "turn", "heat", "into", "motion",
    ];
    let word = |at: usize| WORDS[(at * 7 + at * at / 3 + salt * 5) % WORDS.len()];
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

/// Returns the percentile of `values` at `share`, from 0 to 1; NaN without values.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share) as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Runs `callers` concurrently for `time`, each with one call after another. `call` takes the index
/// of the caller and of the call. Returns the duration of each call in milliseconds.
pub async fn closed_loop<C, F>(callers: usize, time: Duration, call: C) -> Vec<f64>
where
    C: Fn(usize, usize) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let call = Arc::new(call);
    let caller = |caller: usize| {
        let call = call.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            let mut times = Vec::new();
            while began.elapsed() < time {
                let started = Instant::now();
                call(caller, times.len()).await;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            times
        })
    };
    let tasks: Vec<_> = (0..callers).map(caller).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a caller"));
    }
    times
}
