//! Combination of the results of several arms of an `ensemble`.

use motet_proto::tensor::{Tensor, TensorError};
use motet_proto::types::ElementType;

use super::error::{OpError, OpErrorKind};
use super::extreme::Extreme;
use super::scoring::fuse;
use super::work;
use crate::compute::cancel::Cancel;

/// Methods of combining the results of arms.
#[derive(Debug, Clone, PartialEq)]
pub enum Combine {
    /// Weighted mean, with one weight for each arm. Arms that failed do not count.
    Mean(Vec<f64>),
    /// Maximum of each element; NaN is less than any number.
    Max,
    /// Majority vote on each element; the earliest arm decides a tie.
    Vote,
    /// Reciprocal rank fusion: the score of an index is the sum over the arms of 1 / (k + rank),
    /// ranks counted from 1.
    Rrf {
        /// The constant added to each rank.
        k: i64,
    },
    /// Concatenation of lists, in the order of the arms.
    Concat,
}

/// Results of one arm; `None` for results that no node reads.
pub type Results = Vec<Option<Tensor>>;

/// Returns an upper estimate of the operations of [`combine`], of about a nanosecond each.
pub fn work(how: &Combine, arms: &[Option<Results>]) -> u64 {
    let tensors = || arms.iter().flatten().flatten().flatten();
    let elements: usize = tensors().map(Tensor::len).sum();
    let bytes: usize = tensors().map(|t| t.data().len()).sum();
    let each = match how {
        Combine::Mean(_) | Combine::Max => work::CONVERT,
        // Each element of an arm is compared with those of all arms.
        Combine::Vote => work::RANK.saturating_mul(arms.len() as u64),
        Combine::Rrf { .. } => work::HASH,
        Combine::Concat => 0,
    };
    each.saturating_mul(elements as u64)
        .saturating_add(work::elements(bytes))
}

/// Combines the results of arms output by output, or for `rrf` the ranked lists of the arms into
/// indices and scores. The arms are in order, with `None` for an arm that failed.
///
/// # Errors
/// When the shapes of the arms differ.
pub fn combine(
    how: &Combine,
    arms: &[Option<Results>],
    cancel: &Cancel,
) -> Result<Results, OpError> {
    if let Combine::Rrf { k } = how {
        let lists: Vec<&Tensor> = arms
            .iter()
            .flatten()
            .filter_map(|results| results.first()?.as_ref())
            .collect();
        let [index, score] = fuse(&lists, *k, None, &mut cancel.meter())?;
        return Ok(vec![Some(index), Some(score)]);
    }
    let width = arms.iter().flatten().map(Vec::len).next().unwrap_or(0);
    (0..width)
        .map(|output| {
            let parts: Vec<(usize, &Tensor)> = arms
                .iter()
                .enumerate()
                .filter_map(|(i, arm)| Some((i, arm.as_ref()?.get(output)?.as_ref()?)))
                .collect();
            if parts.is_empty() {
                return Ok(None);
            }
            combine_output(how, &parts, cancel).map(Some)
        })
        .collect()
}

/// One output of each arm, with the index of the arm.
fn combine_output(
    how: &Combine,
    parts: &[(usize, &Tensor)],
    cancel: &Cancel,
) -> Result<Tensor, OpError> {
    let tensors: Vec<&Tensor> = parts.iter().map(|(_, t)| *t).collect();
    if matches!(how, Combine::Concat) {
        return Ok(Tensor::concat(&tensors)?);
    }
    let shape = tensors[0].shape();
    if let Some(other) = tensors.iter().find(|t| t.shape() != shape) {
        return Err(OpError::from(TensorError::Reshape {
            from: other.shape().to_vec(),
            to: shape.to_vec(),
        }));
    }
    match how {
        Combine::Mean(weights) => {
            let weights: Vec<f64> = parts
                .iter()
                .map(|(arm, _)| weights.get(*arm).copied().unwrap_or(0.0))
                .collect();
            mean(&tensors, &weights)
        }
        Combine::Max => Extreme::Largest.elementwise(&tensors, cancel),
        Combine::Vote => vote(&tensors),
        Combine::Concat | Combine::Rrf { .. } => Err(OpErrorKind::Argument.into()),
    }
}

/// Returns the weighted mean. If every arm that succeeded has the weight 0, all count equally.
fn mean(parts: &[&Tensor], weights: &[f64]) -> Result<Tensor, OpError> {
    let total: f64 = weights.iter().sum();
    let weight = |i: usize| {
        if total > 0.0 {
            weights[i] / total
        } else {
            1.0 / weights.len() as f64
        }
    };
    macro_rules! mean {
        ($rust:ty) => {{
            let mut sums = vec![0.0f64; parts[0].len()];
            for (i, part) in parts.iter().enumerate() {
                let weight = weight(i);
                // A weight of 0 hides a NaN.
                if weight > 0.0 {
                    for (sum, value) in sums.iter_mut().zip(part.values::<$rust>()?.iter()) {
                        *sum += weight * f64::from(*value);
                    }
                }
            }
            let values: Vec<$rust> = sums.into_iter().map(|sum| sum as $rust).collect();
            Ok(Tensor::from_values(parts[0].shape().to_vec(), values)?)
        }};
    }
    match parts[0].element() {
        ElementType::F64 => mean!(f64),
        _ => mean!(f32),
    }
}

/// Returns the most frequent value of each element; the earliest arm decides a tie.
fn vote(parts: &[&Tensor]) -> Result<Tensor, OpError> {
    let lists: Vec<Vec<&[u8]>> = parts
        .iter()
        .map(|part| elements(part))
        .collect::<Result<_, _>>()?;
    let winners: Vec<usize> = (0..parts[0].len())
        .map(|at| {
            let votes = |arm: usize| {
                let own = lists[arm][at];
                lists.iter().filter(|list| list[at] == own).count()
            };
            let arms = (0..lists.len()).map(|arm| (votes(arm), arm));
            // The last maximum wins in `max_by_key`, so the earliest arm comes last.
            arms.rev()
                .max_by_key(|(votes, _)| *votes)
                .map_or(0, |(_, arm)| arm)
        })
        .collect();
    let flat: Vec<Tensor> = parts
        .iter()
        .map(|part| (*part).clone().reshape(vec![part.len()]))
        .collect::<Result<_, _>>()?;
    // Element `at` of arm `a` is row `a * length + at` of all arms joined.
    let all = Tensor::concat(&flat.iter().collect::<Vec<_>>())?;
    let length = parts[0].len();
    let rows: Vec<usize> = winners
        .iter()
        .enumerate()
        .map(|(at, arm)| arm * length + at)
        .collect();
    Ok(all.gather(&rows)?.reshape(parts[0].shape().to_vec())?)
}

fn elements(tensor: &Tensor) -> Result<Vec<&[u8]>, OpError> {
    Ok(match tensor.element().size() {
        Some(size) => tensor.data().chunks_exact(size.max(1)).collect(),
        None => tensor.as_strings()?.iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(x: &[f32]) -> Option<Tensor> {
        Some(Tensor::from_values(vec![x.len()], x.to_vec()).unwrap())
    }

    fn texts(x: &[&str]) -> Option<Tensor> {
        Some(Tensor::strings(x))
    }

    fn ranks(x: &[i32]) -> Option<Tensor> {
        Some(Tensor::from_values(vec![x.len()], x.to_vec()).unwrap())
    }

    #[test]
    fn arms_are_combined() {
        let nan = f32::NAN;
        for (how, arms, expected) in [
            (
                Combine::Mean(vec![1.0; 3]),
                vec![floats(&[1.0, 2.0]), None, floats(&[3.0, 6.0])],
                floats(&[2.0, 4.0]),
            ),
            (
                Combine::Mean(vec![0.75, 0.25]),
                vec![floats(&[1.0]), floats(&[5.0])],
                floats(&[2.0]),
            ),
            (
                Combine::Mean(vec![1.0, 0.0]),
                vec![floats(&[1.0]), floats(&[nan])],
                floats(&[1.0]),
            ),
            (
                Combine::Mean(vec![1.0, 0.0]),
                vec![None, floats(&[5.0])],
                floats(&[5.0]),
            ),
            (
                Combine::Max,
                vec![floats(&[1.0, nan, 7.0]), floats(&[2.0, 3.0, nan])],
                floats(&[2.0, 3.0, 7.0]),
            ),
            (
                Combine::Max,
                vec![ranks(&[1, -4]), ranks(&[0, -3])],
                ranks(&[1, -3]),
            ),
            (
                Combine::Vote,
                vec![texts(&["a", "x"]), texts(&["b", "y"]), texts(&["b", "z"])],
                texts(&["b", "x"]),
            ),
            (Combine::Vote, vec![ranks(&[1]), ranks(&[2])], ranks(&[1])),
            (
                Combine::Concat,
                vec![texts(&["a"]), texts(&[]), texts(&["b", "c"])],
                texts(&["a", "b", "c"]),
            ),
        ] {
            let arms: Vec<Option<Results>> = arms
                .into_iter()
                .map(|arm| arm.map(|t| vec![Some(t), None]))
                .collect();
            let combined = combine(&how, &arms, &Cancel::default()).unwrap();
            assert_eq!(combined, [expected, None], "{how:?} {arms:?}");
        }
        assert!(
            combine(
                &Combine::Max,
                &[Some(vec![floats(&[1.0])]), Some(vec![floats(&[])])],
                &Cancel::default()
            )
            .is_err()
        );
    }
}
