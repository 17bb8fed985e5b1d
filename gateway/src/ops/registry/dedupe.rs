//! `dedupe`: rows without those that repeat an earlier one.

use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, float, port, symbol, words};
use crate::ops::scoring::index_list;
use crate::ops::vectors::{Metric, Rows};
use crate::ops::work;

pub(super) struct Dedupe;
pub(super) const OP: Dedupe = Dedupe;

static DOCS: OpDocs = OpDocs {
    name: "dedupe",
    aliases: &[],
    summary: "Drops rows that repeat an earlier one, by the similarity of their vectors.",
    forms: &[Form {
        inputs: "keys: float[N,D]",
        outputs: "index: i32[K], repeats: i32[N]",
        about: "Two rows whose similarity is at least `min` are repetitions, and the first is \
                kept. `index` is the rows that are kept, for `gather`; `repeats` is, for each row, \
                the kept row that it repeats, or the row itself where it is kept.",
        example: &[("keys", "float[N,D]")],
        settings: &[("min", "0.9")],
    }],
};

impl Op for Dedupe {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, _: &Arguments<'_>) -> Result<Signature, FormError> {
        Ok(Signature {
            form: 0,
            inputs: vec![port(
                "keys",
                ElementType::F32,
                vec![symbol("N"), symbol("D")],
            )],
            outputs: vec![
                port("index", ElementType::I32, vec![symbol("K")]),
                port("repeats", ElementType::I32, vec![symbol("N")]),
            ],
            parameters: vec![
                float("min", Some(0.95), None),
                words("metric", &Metric::NAMES),
            ],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // At worst every row is kept and compared with all rows before it.
        let pairs = work::product([call.rows(0), call.len(0).saturating_add(call.rows(0))]) / 2;
        pairs.saturating_add(work::elements(call.bytes()))
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let min = call.float(0)?;
        let rows = Rows::of(call.input(0)?, Metric::named(call.text(1)?))?;
        let mut meter = cancel.meter();
        let mut kept: Vec<usize> = Vec::new();
        let mut repeats = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            let mut repeated = None;
            for &earlier in &kept {
                meter.spend(rows.width() + 1)?;
                if f64::from(rows.similarity(row, &rows, earlier)) >= min {
                    repeated = Some(earlier);
                    break;
                }
            }
            if repeated.is_none() {
                kept.push(row);
            }
            repeats.push(repeated.unwrap_or(row));
        }
        outputs([index_list(&kept)?, index_list(&repeats)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{floats, ints, run, text};
    use crate::scalar::Scalar;

    #[test]
    fn the_first_of_rows_that_are_alike_is_kept() {
        let nan = f32::NAN;
        for (metric, min, rows, kept, repeats) in [
            (
                "cosine",
                0.9,
                vec![[1.0, 0.0], [0.0, 1.0], [2.0, 0.1], [0.0, 5.0]],
                &[0, 1][..],
                &[0, 1, 0, 1][..],
            ),
            // The second is similar to both neighbours, which are not similar: it repeats the
            // first.
            (
                "cosine",
                0.7,
                vec![[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
                &[0, 2],
                &[0, 0, 2],
            ),
            // The length counts for the dot product.
            (
                "dot",
                2.0,
                vec![[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]],
                &[0, 1],
                &[0, 1, 0],
            ),
            // A vector of length 0 or with NaN is similar to no vector, itself included.
            (
                "cosine",
                0.5,
                vec![[0.0, 0.0], [0.0, 0.0], [nan, 1.0], [nan, 1.0]],
                &[0, 1, 2, 3],
                &[0, 1, 2, 3],
            ),
            ("cosine", 0.5, vec![], &[], &[]),
        ] {
            let keys = floats(&[rows.len(), 2], rows.as_flattened());
            let out = run(&OP, 0, &[keys], &[Scalar::Float(min), text(metric)]).unwrap();
            assert_eq!(ints(&out[0]), kept, "{metric} {min} {rows:?}");
            assert_eq!(ints(&out[1]), repeats, "{metric} {min} {rows:?}");
        }
    }
}
