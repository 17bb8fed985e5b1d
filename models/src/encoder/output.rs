//! From the last layer's token vectors to what a head gives back.

use crate::architecture::{Head, Output, Pooling, Readout};
use crate::values::Values;

/// Returns what a head makes of a row of `len` tokens; `token` writes a token's vector, of `size`
/// values.
pub(super) fn of_row(
    head: Head,
    size: usize,
    len: usize,
    token: impl Fn(usize, &mut [f32]),
) -> Values {
    let mut values = match head.readout {
        Readout::EveryToken => {
            let mut vectors = vec![0.0; len * size];
            for (at, vector) in vectors.chunks_exact_mut(size).enumerate() {
                token(at, vector);
            }
            vectors
        }
        Readout::Pooled(pooling) => {
            let mut vector = vec![0.0; size];
            token(0, &mut vector);
            if pooling == Pooling::Mean {
                let mut other = vec![0.0; size];
                for at in 1..len {
                    token(at, &mut other);
                    vector.iter_mut().zip(&other).for_each(|(sum, x)| *sum += x);
                }
                vector.iter_mut().for_each(|sum| *sum /= len as f32);
            }
            vector
        }
    };
    if head.output == Output::UnitLength {
        values.chunks_exact_mut(size).for_each(scale_to_unit);
    }
    Values::new(values, size)
}

/// Divides by the length; a vector of length 0 stays as it is.
fn scale_to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}
