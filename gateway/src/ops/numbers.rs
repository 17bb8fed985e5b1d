//! Scores and vectors: normalizing, keeping what is high enough, the best of each row.

use motet_proto::tensor::Tensor;

use super::OpError;
use super::rank::{by_rank, ranked};

/// How vectors are normalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// To length 1; a vector of length 0 stays.
    L2,
    /// To positive numbers whose sum is 1.
    Softmax,
    /// To numbers from 0 to 1; where all are equal, to 0.
    MinMax,
}

impl Method {
    pub(super) const NAMES: [&'static str; 3] = ["l2", "softmax", "minmax"];

    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [Self::L2, Self::Softmax, Self::MinMax];
        let at = Self::NAMES.iter().position(|n| *n == name)?;
        all.get(at).copied()
    }
}

/// Each vector along the last dimension, normalized.
pub(super) fn normalize(vectors: &Tensor, method: Method) -> Result<Tensor, OpError> {
    let width = vectors.shape().last().copied().unwrap_or(1).max(1);
    let mut values = vectors.values::<f32>()?.into_owned();
    for vector in values.chunks_exact_mut(width) {
        match method {
            Method::L2 => {
                let length = vector
                    .iter()
                    .map(|x| f64::from(*x).powi(2))
                    .sum::<f64>()
                    .sqrt();
                if length > 0.0 {
                    scale(vector, 0.0, length);
                }
            }
            Method::Softmax => {
                let most = vector.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for x in vector.iter_mut() {
                    *x = (*x - most).exp();
                }
                let sum = vector.iter().map(|x| f64::from(*x)).sum();
                scale(vector, 0.0, sum);
            }
            Method::MinMax => {
                let most = vector.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let least = vector.iter().copied().fold(f32::INFINITY, f32::min);
                let range = f64::from(most) - f64::from(least);
                scale(
                    vector,
                    f64::from(least),
                    if range > 0.0 { range } else { 1.0 },
                );
            }
        }
    }
    Ok(Tensor::from_values(vectors.shape().to_vec(), values)?)
}

fn scale(vector: &mut [f32], from: f64, by: f64) {
    for x in vector {
        *x = ((f64::from(*x) - from) / by) as f32;
    }
}

/// The places of scores of at least `min`, in their order, and these scores.
pub(super) fn threshold(score: &Tensor, min: f64) -> Result<Vec<Tensor>, OpError> {
    let scores = score.values::<f32>()?;
    let kept = || {
        (0i32..)
            .zip(scores.iter())
            .filter(|(_, s)| f64::from(**s) >= min)
    };
    let (index, score) = ranked(
        kept().map(|(i, _)| i).collect(),
        kept().map(|(_, s)| *s).collect(),
    )?;
    Ok(vec![index, score])
}

/// The best of each row, or of the only one: its place and its score, and its label where there
/// are labels.
///
/// # Errors
/// When a row has nothing in it, or another number of scores than there are labels.
pub(super) fn argmax(score: &Tensor, labels: Option<&Tensor>) -> Result<Vec<Tensor>, OpError> {
    let (outer, width) = match *score.shape() {
        [width] => (Vec::new(), width),
        [rows, width] => (vec![rows], width),
        _ => return Err(OpError::Tensor(motet_proto::tensor::TensorError::NotList)),
    };
    if let Some(labels) = labels
        && labels.rows() != width
    {
        return Err(OpError::Labels {
            labels: labels.rows(),
            scores: width,
        });
    }
    let scores = score.values::<f32>()?;
    if width == 0 && outer != [0] {
        return Err(OpError::Nothing);
    }
    let best: Vec<usize> = scores
        .chunks_exact(width.max(1))
        .map(|row| {
            (0..row.len())
                .min_by(|a, b| by_rank(row, *a, *b))
                .unwrap_or(0)
        })
        .collect();
    let index: Vec<i32> = best.iter().map(|i| *i as i32).collect();
    let of_best = best
        .iter()
        .enumerate()
        .map(|(row, i)| scores[row * width + i]);
    let mut outputs = vec![
        Tensor::from_values(outer.clone(), index)?,
        Tensor::from_values(outer.clone(), of_best.collect::<Vec<f32>>())?,
    ];
    if let Some(labels) = labels {
        outputs.push(labels.gather(&best)?.reshape(outer)?);
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_values(shape.to_vec(), values.to_vec()).unwrap()
    }

    #[test]
    fn vectors_are_normalized() {
        for (method, given, expected) in [
            (Method::L2, [3.0, 4.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0]),
            (
                Method::Softmax,
                [0.0, 0.0, 1000.0, 0.0],
                [0.5, 0.5, 1.0, 0.0],
            ),
            (Method::MinMax, [1.0, 3.0, 5.0, 5.0], [0.0, 1.0, 0.0, 0.0]),
        ] {
            let out = normalize(&floats(&[2, 2], &given), method).unwrap();
            let out = out.values::<f32>().unwrap().to_vec();
            assert!(
                out.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{out:?}"
            );
        }
        assert_eq!(
            normalize(&floats(&[0, 2], &[]), Method::L2)
                .unwrap()
                .shape(),
            [0, 2]
        );
    }

    #[test]
    fn what_is_high_enough_is_kept() {
        let out = threshold(&floats(&[4], &[0.5, f32::NAN, 0.2, 0.9]), 0.5).unwrap();
        assert_eq!(*out[0].values::<i32>().unwrap(), [0, 3]);
        assert_eq!(*out[1].values::<f32>().unwrap(), [0.5, 0.9]);
    }

    #[test]
    fn each_row_has_a_best() {
        let labels = Tensor::strings(["no", "yes"]);
        let rows = floats(&[2, 2], &[0.1, 0.9, f32::NAN, 0.2]);
        let out = argmax(&rows, Some(&labels)).unwrap();
        assert_eq!(*out[0].values::<i32>().unwrap(), [1, 1]);
        assert_eq!(*out[1].values::<f32>().unwrap(), [0.9, 0.2]);
        assert_eq!(out[2], Tensor::strings(["yes", "yes"]));
        let one = argmax(&floats(&[2], &[0.9, 0.1]), Some(&labels)).unwrap();
        assert_eq!(one[2], Tensor::scalar_string("no"));
        assert_eq!(argmax(&floats(&[0], &[]), None), Err(OpError::Nothing));
        assert_eq!(argmax(&floats(&[0, 0], &[]), None).unwrap()[0].shape(), [0]);
        assert_eq!(
            argmax(&floats(&[3], &[0.0; 3]), Some(&labels)),
            Err(OpError::Labels {
                labels: 2,
                scores: 3
            })
        );
    }
}
