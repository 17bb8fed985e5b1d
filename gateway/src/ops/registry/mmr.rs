//! `mmr`: nearest keys that differ from each other.

use crate::compute::cancel::{Cancel, Meter};
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{
    Arguments, FormError, Signature, float, index_and_score, k, query_and_keys,
};
use crate::ops::scoring::{self, by_rank};
use crate::ops::vectors::{Metric, Rows};
use crate::ops::work;

pub(super) struct Mmr;
pub(super) const OP: Mmr = Mmr;

static DOCS: OpDocs = OpDocs {
    name: "mmr",
    aliases: &[],
    summary: "Finds the k nearest keys that differ from each other (maximal marginal relevance, \
              by cosine).",
    forms: &[Form {
        inputs: "query: float[D], keys: float[N,D]",
        outputs: "index: i32[K], score: float[K]",
        about: "With `lambda` 1, only nearness counts. The score is the cosine to the query.",
        example: &[("query", "float[D]"), ("keys", "float[N,D]")],
        settings: &[("k", "3"), ("lambda", "0.7")],
    }],
};

impl Op for Mmr {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, _: &Arguments<'_>) -> Result<Signature, FormError> {
        Ok(Signature {
            form: 0,
            inputs: query_and_keys(),
            outputs: index_and_score("K"),
            parameters: vec![k(), float("lambda", Some(0.5), Some((0, 1)))],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // Each pick compares every key that is left with the one picked, and ranks the rest.
        let picks = call.count(0).unwrap_or(0).min(call.rows(1));
        let rank = work::product([picks, call.rows(1)]).saturating_mul(work::RANK);
        let compare = work::product([picks.saturating_add(2), call.len(1)]);
        compare.saturating_add(rank)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let query = Rows::of(call.input(0)?, Metric::Cosine)?;
        let keys = Rows::of(call.input(1)?, Metric::Cosine)?;
        query.fit(&keys)?;
        let mut meter = cancel.meter();
        let mut relevance = Vec::with_capacity(keys.len());
        for key in 0..keys.len() {
            meter.spend(keys.width())?;
            relevance.push(query.similarity(0, &keys, key));
        }
        let picks = picks(
            &relevance,
            &keys,
            call.count(0)?,
            call.float(1)?,
            &mut meter,
        )?;
        outputs(scoring::index_and_score(&picks, &relevance)?)
    }
}

/// Returns the indices of up to `k` keys by maximal marginal relevance (Carbonell and Goldstein,
/// 1998): each is the key that maximizes `lambda` times its relevance, minus `1 - lambda` times its
/// greatest cosine to the keys before it.
fn picks(
    relevance: &[f32],
    keys: &Rows<'_>,
    k: usize,
    lambda: f64,
    meter: &mut Meter<'_>,
) -> Result<Vec<usize>, OpError> {
    let mut closest = vec![f32::NEG_INFINITY; relevance.len()];
    let mut left: Vec<usize> = (0..relevance.len()).collect();
    let mut picks = Vec::with_capacity(k.min(left.len()));
    while picks.len() < k && !left.is_empty() {
        meter.spend(left.len())?;
        let score = |i: usize| {
            let redundancy = if picks.is_empty() { 0.0 } else { closest[i] };
            (lambda * f64::from(relevance[i]) - (1.0 - lambda) * f64::from(redundancy)) as f32
        };
        let scores: Vec<f32> = left.iter().map(|i| score(*i)).collect();
        let best = (0..left.len())
            .min_by(|a, b| by_rank(&scores, *a, *b))
            .unwrap_or(0);
        let pick = left.remove(best);
        picks.push(pick);
        for &i in &left {
            meter.spend(keys.width())?;
            closest[i] = closest[i].max(keys.similarity(i, keys, pick));
        }
    }
    Ok(picks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Cancelled;
    use crate::ops::op::{BoundOp, WORK_MAX};
    use crate::ops::testing::floats;
    use crate::scalar::Scalar;

    #[test]
    fn a_key_like_one_picked_before_comes_later() {
        let keys = floats(&[3, 2], &[1.0, 0.0, 0.99, 0.1, 0.6, 0.8]);
        let keys = Rows::of(&keys, Metric::Cosine).unwrap();
        let relevance = [0.9, 0.89, 0.5];
        let cancel = Cancel::default();
        let mmr = |k, lambda| picks(&relevance, &keys, k, lambda, &mut cancel.meter()).unwrap();
        for (lambda, expected) in [(1.0, [0, 1, 2]), (0.3, [0, 2, 1])] {
            assert_eq!(mmr(3, lambda), expected);
        }
        assert_eq!(mmr(2, 0.3), [0, 2]);
    }

    #[test]
    fn work_grows_with_picks_keys_and_dimensions() {
        let call = |rows: usize, width: usize, k: i64| {
            let query = Some(floats(&[width], &vec![0.0; width]));
            let keys = Some(floats(&[rows, width], &vec![0.0; rows * width]));
            let settings = [Scalar::Int(k), Scalar::Float(0.5)];
            BoundOp::new(&OP, 0).work(&[query, keys], &settings)
        };
        // At most all keys are picked.
        assert_eq!(call(10, 4, 65_536), call(10, 4, 10));
        assert!(call(1000, 16, 100) > 8 * call(1000, 16, 10));
        assert!(call(65_536, 24, 65_536) > WORK_MAX);
    }

    #[test]
    fn a_cancelled_op_stops() {
        let (rows, width) = (20_000, 64);
        let inputs = [
            Some(floats(&[width], &vec![1.0; width])),
            Some(floats(&[rows, width], &vec![1.0; rows * width])),
        ];
        let settings = [Scalar::Int(rows as i64), Scalar::Float(0.5)];
        let (cancel, guard) = Cancel::on_drop();
        drop(guard);
        // 20,000 picks would take half a minute.
        let end = BoundOp::new(&OP, 0).run(&inputs, &settings, &cancel);
        assert_eq!(end, Err(Cancelled.into()));
    }
}
