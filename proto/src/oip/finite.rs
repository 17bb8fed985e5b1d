//! Numbers of an answer that are infinite or none.

use crate::inference::ModelInferResponse;
use crate::inference::model_infer_response::InferOutputTensor;

/// A value of an answer that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite<'r> {
    /// The name of its tensor.
    pub tensor: &'r str,
    /// Its row: the index along the first dimension.
    pub row: usize,
}

/// Returns the first value of a response that is infinite or NaN. Reads each number once, as fast
/// as memory gives it.
///
/// ```
/// use motet_proto::inference::ModelInferResponse;
/// use motet_proto::oip::{put_outputs, Encoding, first_not_finite};
/// use motet_proto::tensor::Tensor;
///
/// let score = Tensor::from_values(vec![2, 2], vec![0.5f32, 1.0, f32::NAN, 0.0])?;
/// let mut response = ModelInferResponse::default();
/// put_outputs(&mut response, [("score", &score)], Encoding::Raw);
/// let found = first_not_finite(&response).unwrap();
/// assert_eq!((found.tensor, found.row), ("score", 1));
/// # Ok::<(), motet_proto::tensor::TensorError>(())
/// ```
pub fn first_not_finite(response: &ModelInferResponse) -> Option<NotFinite<'_>> {
    let mut raw = response.raw_output_contents.iter();
    response.outputs.iter().find_map(|output| {
        let (at, count) = match raw.next() {
            Some(bytes) => of_bytes(&output.datatype, bytes)?,
            None => of_lists(output)?,
        };
        let rows = output.shape.first().copied().unwrap_or(1);
        let rows = usize::try_from(rows).unwrap_or(1).clamp(1, count);
        Some(NotFinite {
            tensor: &output.name,
            row: at / count.div_ceil(rows),
        })
    })
}

/// Returns the index of the first number that is not finite, and how many there are.
fn of_bytes(datatype: &str, bytes: &[u8]) -> Option<(usize, usize)> {
    // A number is not finite where its exponent has only ones: without its sign it is as large as
    // infinity.
    let (at, width) = match datatype {
        "FP16" => (
            first_above(bytes, |b| u16::from_le_bytes(b) & 0x7fff, 0x7c00),
            2,
        ),
        "BF16" => (
            first_above(bytes, |b| u16::from_le_bytes(b) & 0x7fff, 0x7f80),
            2,
        ),
        "FP32" => {
            let number = |b| u32::from_le_bytes(b) & 0x7fff_ffff;
            (first_above(bytes, number, 0x7f80_0000), 4)
        }
        "FP64" => {
            let number = |b| u64::from_le_bytes(b) & (u64::MAX >> 1);
            (first_above(bytes, number, 0x7ff0_0000_0000_0000), 8)
        }
        _ => return None,
    };
    Some((at?, bytes.len() / width))
}

/// Returns the index of the first number of at least `limit`. Without one, which is the rule, no
/// branch depends on a number.
fn first_above<const WIDTH: usize, N: Ord + Copy + Default>(
    bytes: &[u8],
    number: impl Fn([u8; WIDTH]) -> N,
    limit: N,
) -> Option<usize> {
    let (numbers, _) = bytes.as_chunks::<WIDTH>();
    let largest = numbers
        .iter()
        .fold(N::default(), |largest, bytes| largest.max(number(*bytes)));
    if largest < limit {
        return None;
    }
    numbers.iter().position(|bytes| number(*bytes) >= limit)
}

fn of_lists(output: &InferOutputTensor) -> Option<(usize, usize)> {
    let contents = output.contents.as_ref()?;
    let (singles, doubles) = (&contents.fp32_contents, &contents.fp64_contents);
    let single = singles.iter().position(|number| !number.is_finite());
    let double = || doubles.iter().position(|number| !number.is_finite());
    let at = single.or_else(double)?;
    Some((at, singles.len().max(doubles.len())))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::oip::{Encoding, put_outputs};
    use crate::tensor::Tensor;

    fn response(tensors: &[Tensor], encoding: Encoding) -> ModelInferResponse {
        let mut response = ModelInferResponse::default();
        let names = ["a", "b", "c"];
        put_outputs(&mut response, names.into_iter().zip(tensors), encoding);
        response
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_found_in_every_type() {
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            // In the third of four rows of three numbers.
            let numbers = |bad: f64| {
                let mut numbers = vec![1.0; 12];
                numbers[7] = bad;
                numbers
            };
            let all = numbers(bad);
            let tensors = [
                Tensor::from_values(vec![4, 3], all.clone()),
                Tensor::from_values(vec![4, 3], all.iter().map(|n| *n as f32).collect()),
                Tensor::from_values(vec![4, 3], all.iter().map(|n| f16::from_f64(*n)).collect()),
                Tensor::from_values(vec![4, 3], all.iter().map(|n| bf16::from_f64(*n)).collect()),
            ];
            for tensor in tensors {
                let good = Tensor::from_values(vec![2], vec![f32::MAX, f32::MIN]).unwrap();
                let texts = Tensor::strings(["\u{0}"]);
                for encoding in [Encoding::Raw, Encoding::Typed] {
                    let tensors = [good.clone(), texts.clone(), tensor.clone().unwrap()];
                    let response = response(&tensors, encoding);
                    let found = first_not_finite(&response).unwrap();
                    assert_eq!((found.tensor, found.row), ("c", 2), "{bad} {encoding:?}");
                }
            }
        }
    }

    #[test]
    fn large_and_tiny_numbers_texts_and_integers_are_finite() {
        let tensors = [
            Tensor::from_values(vec![3], vec![f64::MAX, f64::MIN_POSITIVE, -0.0]).unwrap(),
            Tensor::from_values(vec![2], vec![u32::MAX, 0x7fc0_0000]).unwrap(),
            Tensor::strings(["\u{7f}\u{7f}\u{7f}\u{7f}"]),
        ];
        for encoding in [Encoding::Raw, Encoding::Typed] {
            assert_eq!(first_not_finite(&response(&tensors, encoding)), None);
        }
        let scalar = Tensor::from_values(vec![], vec![f32::NAN]).unwrap();
        let response = response(&[scalar], Encoding::Raw);
        assert_eq!(first_not_finite(&response).map(|found| found.row), Some(0));
    }
}
