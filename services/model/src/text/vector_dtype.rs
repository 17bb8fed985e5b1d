//! Types in which vectors are answered: fewer bytes to send and to keep, at some cost in precision.

use half::f16;
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};

/// Values in a byte of a binary vector.
const BITS: usize = 8;
/// Largest value of a vector of bytes.
const INT8_MAX: f32 = 127.0;

/// Type of the values of an answered vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum VectorDtype {
    /// Single precision.
    #[default]
    F32,
    /// Half precision.
    F16,
    /// Bytes from -127 to 127: each vector in units of 1/127 of its own value that is furthest from
    /// 0. Cosines need no more; its length is lost.
    Int8,
    /// One bit for each value, set if it is above 0, eight to a byte, the first in the highest bit
    /// (as `quantize_embeddings` of sentence-transformers packs `ubinary`).
    Binary,
}

impl VectorDtype {
    /// The words of configurations.
    pub(crate) const WORDS: [(&'static str, Self); 4] = [
        ("f32", Self::F32),
        ("f16", Self::F16),
        ("int8", Self::Int8),
        ("binary", Self::Binary),
    ];

    /// Returns whether the first values of a vector are a vector, too.
    pub(crate) fn has_parts(self) -> bool {
        self != Self::Binary
    }

    /// Returns the type of the tensor's elements.
    pub(crate) fn element(self) -> ElementType {
        match self {
            Self::F32 => ElementType::F32,
            Self::F16 => ElementType::F16,
            Self::Int8 => ElementType::I8,
            Self::Binary => ElementType::U8,
        }
    }

    /// Returns the number of elements of a vector of `size` values; `None` if these do not fill
    /// whole bytes.
    pub(crate) fn elements(self, size: usize) -> Option<usize> {
        match self {
            Self::Binary if size.is_multiple_of(BITS) => Some(size / BITS),
            Self::Binary => None,
            _ => Some(size),
        }
    }

    /// Returns `count` vectors of `size` values as one tensor.
    ///
    /// # Errors
    /// When there are not so many values, or they do not fill whole bytes.
    pub(crate) fn tensor(
        self,
        count: usize,
        size: usize,
        values: Vec<f32>,
    ) -> Result<Tensor, TensorError> {
        let shape = vec![count, self.elements(size).unwrap_or(size)];
        match self {
            Self::F32 => Tensor::from_values(shape, values),
            Self::F16 => {
                let bytes = values
                    .iter()
                    .flat_map(|value| f16::from_f32(*value).to_le_bytes());
                Tensor::from_raw(ElementType::F16, shape, bytes.collect::<Vec<u8>>().into())
            }
            Self::Int8 => {
                let vectors = values.chunks(size.max(1)).flat_map(int8);
                Tensor::from_values(shape, vectors.collect())
            }
            Self::Binary => {
                let bytes = values.chunks(BITS).map(|values| {
                    let bits = values.iter().map(|value| u8::from(*value > 0.0));
                    bits.fold(0, |byte, bit| byte << 1 | bit)
                });
                Tensor::from_values(shape, bytes.collect())
            }
        }
    }
}

/// Returns a vector in units of 1/127 of its value that is furthest from 0.
fn int8(vector: &[f32]) -> impl Iterator<Item = i8> {
    let largest = vector
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    // Not a reciprocal: that of the smallest numbers is infinite.
    let scaled = move |value: &f32| match largest > 0.0 {
        true => (value / largest * INT8_MAX).round() as i8,
        false => 0,
    };
    vector.iter().map(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: VectorDtype, vectors: &[&[f32]]) -> Tensor {
        let size = vectors[0].len();
        dtype.tensor(vectors.len(), size, vectors.concat()).unwrap()
    }

    #[test]
    fn values_are_converted_vector_by_vector() {
        let half = tensor(VectorDtype::F16, &[&[0.5, -2.0], &[65504.0, 1.0 / 3.0]]);
        assert_eq!(
            (half.shape(), half.element()),
            (&[2, 2][..], ElementType::F16)
        );
        let bits: Vec<u8> = [0x3800_u16, 0xc000, 0x7bff, 0x3555]
            .into_iter()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(half.raw_rows().unwrap().concat(), bits);

        let bytes = tensor(
            VectorDtype::Int8,
            &[&[0.25, -0.5], &[3.0, 1.0], &[0.0, 0.0], &[1e-45, -1e-45]],
        );
        let expected = [64, -127, 127, 42, 0, 0, 127, -127];
        assert_eq!(*bytes.values::<i8>().unwrap(), expected);

        let vector = [0.1, -0.2, 0.3, -0.4, 0.0, 0.5, -0.0, 0.7];
        let binary = tensor(VectorDtype::Binary, &[&vector, &[1.0; 8]]);
        assert_eq!(
            (binary.shape(), binary.element()),
            (&[2, 1][..], ElementType::U8)
        );
        assert_eq!(*binary.values::<u8>().unwrap(), [0b1010_0101, 255]);
    }

    #[test]
    fn bits_fill_whole_bytes() {
        assert_eq!(VectorDtype::Binary.elements(384), Some(48));
        assert_eq!(VectorDtype::Binary.elements(12), None);
        assert_eq!(VectorDtype::Int8.elements(12), Some(12));
        let none = VectorDtype::Binary.tensor(0, 8, Vec::new()).unwrap();
        assert_eq!(none.shape(), [0, 1]);
    }
}
