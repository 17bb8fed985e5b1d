//! The batch size at which a long queue is answered soonest.
//!
//! All callers in a batch are answered at its end, and those that arrive meanwhile wait for that
//! end. Where time is mostly tokens (an encoder on a CPU), a long queue is answered sooner in
//! several short batches than in one long one; each further batch costs the fixed part `a` again.
//! With `u` the seconds that a batch spends on its tokens, `W` those of the whole queue and
//! `T = W / (1 - load)` the time until the queue is empty, let `j` calls wait and `r` more arrive
//! per second.
//!
//! * Cost of short batches: the queue empties later by `dT = a W / (u (1 - load)^2)`, which the
//!   waiting calls feel for `(j + 1) / 2 * dT` together.
//! * Cost of long batches: `u / 2` for each call that could have left before the last batch
//!   (`j - 1`), and twice that for each that arrives (`r T`): first it waits for a batch to end,
//!   then in its own.
//!
//! The sum is least at `u^2 = a W (j + 1) / ((1 - load)^2 (j - 1 + 2 r T))`: the square root of the
//! economic order quantity (Harris 1913). That is for a steady load; since load comes in waves and
//! is known late, `u^2` is taken [`CAUTION`]` / (1 - load)` times as large, which gives up a little
//! of the gain at moderate load and all loss near saturation. A single call with no other about
//! runs whole; a batch never spends less than `a` on its tokens.

use super::Backlog;
use crate::cost::CostModel;

/// Factor by which the gain of short batches must exceed their cost.
const CAUTION: f64 = 2.0;
/// Least fixed part, in tokens. To read the weights of a layer takes about as long as to compute so
/// many tokens with them; a smaller part was learnt from batches that were slowed by something
/// else.
const FIXED_TOKENS_MIN: f64 = 16.0;
/// Highest load in the formula, which has no solution at 1.
const LOAD_MAX: f64 = 0.98;

/// Returns the most tokens that the next batch should have; no limit while nothing is known.
pub(super) fn tokens_max(cost: &CostModel, backlog: &Backlog) -> u64 {
    let b = cost.seconds_per_token();
    let a = cost.fixed_seconds().max(FIXED_TOKENS_MIN * b);
    let idle = 1.0 - backlog.load.min(LOAD_MAX);
    let work = b * backlog.tokens as f64 / backlog.executors.max(1) as f64;
    let calls = backlog.calls as f64;
    let delayed = (calls - 1.0).max(0.0) + 2.0 * backlog.calls_per_second * work / idle;
    let seconds = (CAUTION / idle * a * work * (calls + 1.0) / (idle * idle * delayed)).sqrt();
    let tokens = seconds.max(a) / b;
    // Not finite where nothing is known, no call is delayed or tokens cost nothing.
    if tokens.is_finite() {
        tokens.ceil() as u64
    } else {
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cost::Measurement;

    fn cost(a_ms: f64, b_us: f64) -> CostModel {
        let mut cost = CostModel::default();
        let run = |tokens: u64| Measurement {
            rows: 1,
            tokens,
            duration: Duration::from_secs_f64(a_ms * 1e-3 + b_us * 1e-6 * tokens as f64),
        };
        cost.calibrate(&[run(16), run(256), run(4096)]);
        cost
    }

    /// Returns the rows of 64 tokens that the next batch should have.
    fn rows(cost: &CostModel, calls: usize, calls_per_second: f64, load: f64) -> f64 {
        let backlog = Backlog {
            tokens: 64 * calls as u64,
            calls,
            calls_per_second,
            load,
            executors: 1,
        };
        tokens_max(cost, &backlog) as f64 / 64.0
    }

    #[test]
    fn batches_are_short_where_tokens_decide_and_full_where_they_do_not() {
        let (cpu, gpu) = (cost(3.0, 160.0), cost(3.0, 0.2));
        let quiet = rows(&cpu, 32, 0.1, 0.0);
        assert!((3.0..6.0).contains(&quiet), "{quiet} of 32 rows");
        let busy = rows(&cpu, 32, 60.0, 0.7);
        assert!(busy > 2.0 * quiet, "{busy} of 32 rows");
        assert!(rows(&cpu, 32, 90.0, 1.0) > 32.0);
        for load in [0.0, 0.5, 1.0] {
            assert!(rows(&gpu, 32, 1000.0 * load, load) > 200.0, "load {load}");
        }
        assert_eq!(tokens_max(&CostModel::default(), &BACKLOG), u64::MAX);
    }

    #[test]
    fn a_short_call_is_not_split_because_its_fixed_part_seems_to_be_nothing() {
        let noisy = cost(0.0, 160.0);
        for calls_per_second in [0.0, 1.0, 10.0] {
            let backlog = Backlog {
                tokens: 30,
                calls_per_second,
                ..BACKLOG
            };
            let tokens = tokens_max(&noisy, &backlog);
            assert!(tokens >= 30, "{tokens} at {calls_per_second}/s");
        }
    }

    const BACKLOG: Backlog = Backlog {
        tokens: 100_000,
        calls: 1,
        calls_per_second: 0.0,
        load: 0.0,
        executors: 1,
    };

    #[test]
    fn a_long_call_leaves_gaps_for_calls_that_arrive() {
        let cpu = cost(3.0, 160.0);
        assert_eq!(tokens_max(&cpu, &BACKLOG), u64::MAX, "alone");
        let seconds = |calls_per_second| {
            let backlog = Backlog {
                calls_per_second,
                ..BACKLOG
            };
            160e-6 * tokens_max(&cpu, &backlog) as f64
        };
        // u = sqrt(CAUTION a / r).
        assert!((seconds(1.0) - 0.077).abs() < 0.01, "{}", seconds(1.0));
        assert!(
            (seconds(100.0) - 0.0077).abs() < 0.001,
            "{}",
            seconds(100.0)
        );
    }
}
