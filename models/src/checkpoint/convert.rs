//! Stored elements to f32: exact, but for those of 64 bits and whole numbers beyond 2^24.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

/// Type of stored elements that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
    F64,
    I8,
    I32,
    I64,
}

impl Element {
    /// Returns the type of elements that are floats of at most 32 bits, as weights are.
    pub(super) fn of_weights(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Returns the number of bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::F16 | Self::Bf16 => size_of::<f16>(),
            Self::F64 | Self::I64 => size_of::<i64>(),
            Self::I32 => size_of::<i32>(),
            Self::I8 => size_of::<i8>(),
        }
    }

    /// Converts little-endian elements to as many values.
    pub(super) fn to_f32(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::F32 => each(bytes, values, f32::from_le_bytes),
            Self::F64 => each(bytes, values, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::I8 => each(bytes, values, |bytes| f32::from(i8::from_le_bytes(bytes))),
            Self::I32 => each(bytes, values, |bytes| i32::from_le_bytes(bytes) as f32),
            Self::I64 => each(bytes, values, |bytes| i64::from_le_bytes(bytes) as f32),
            Self::F16 => in_groups(bytes, values, f16::from_le_bytes, |group, values| {
                group.convert_to_f32_slice(values)
            }),
            Self::Bf16 => in_groups(bytes, values, bf16::from_le_bytes, |group, values| {
                group.convert_to_f32_slice(values)
            }),
        }
    }
}

/// Converts one element after another.
fn each<const N: usize>(bytes: &[u8], values: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    let pairs = values.iter_mut().zip(bytes.as_chunks().0);
    pairs.for_each(|(to, bytes)| *to = value(*bytes));
}

/// Converts groups of elements, for which processors have instructions.
fn in_groups<T: Copy + Default>(
    bytes: &[u8],
    values: &mut [f32],
    element: impl Fn([u8; 2]) -> T,
    convert: impl Fn(&[T], &mut [f32]),
) {
    const GROUP: usize = 256;
    let mut group = [T::default(); GROUP];
    let groups = bytes.chunks(GROUP * size_of::<T>());
    for (bytes, values) in groups.zip(values.chunks_mut(GROUP)) {
        let group = &mut group[..values.len()];
        let pairs = group.iter_mut().zip(bytes.as_chunks().0);
        pairs.for_each(|(value, bytes)| *value = element(*bytes));
        convert(group, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_elements_become_the_same_values() {
        for count in [0, 1, 7, 255, 256, 257, 1000] {
            let expected: Vec<f32> = (0..count).map(|at| (at % 61) as f32 / 8.0 - 3.5).collect();
            let check = |element: Element, bytes: Vec<u8>| {
                let mut values = vec![f32::NAN; count];
                element.to_f32(&bytes, &mut values);
                assert_eq!(values, expected, "{element:?} {count}");
                assert_eq!(bytes.len(), count * element.size());
            };
            let all = expected.iter();
            check(
                Element::F32,
                all.clone().flat_map(|x| x.to_le_bytes()).collect(),
            );
            let half = |x: &f32| f16::from_f32(*x).to_le_bytes();
            check(Element::F16, all.clone().flat_map(half).collect());
            let brain = |x: &f32| bf16::from_f32(*x).to_le_bytes();
            check(Element::Bf16, all.clone().flat_map(brain).collect());
            let double = |x: &f32| f64::from(*x).to_le_bytes();
            check(Element::F64, all.flat_map(double).collect());
        }
        let whole: [i8; 4] = [-128, -1, 0, 127];
        let check = |element: Element, bytes: Vec<u8>| {
            let mut values = [f32::NAN; 4];
            element.to_f32(&bytes, &mut values);
            assert_eq!(values, whole.map(f32::from), "{element:?}");
            assert_eq!(bytes.len(), 4 * element.size());
        };
        let wide = whole.map(i64::from);
        check(Element::I8, whole.map(i8::to_le_bytes).concat());
        check(
            Element::I32,
            whole.map(|x| i32::from(x).to_le_bytes()).concat(),
        );
        check(Element::I64, wide.map(i64::to_le_bytes).concat());
    }

    #[test]
    fn every_16_bit_element_becomes_itself() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut values = vec![0.0; bytes.len() / 2];
        let check = |values: &[f32], value: fn(u16) -> f32| {
            for (bits, found) in (0..=u16::MAX).zip(values) {
                let expected = value(bits);
                let same = found.to_bits() == expected.to_bits();
                assert!(same || found.is_nan() && expected.is_nan(), "{bits:#06x}");
            }
        };
        Element::F16.to_f32(&bytes, &mut values);
        check(&values, |bits| f16::from_bits(bits).to_f32());
        Element::Bf16.to_f32(&bytes, &mut values);
        check(&values, |bits| bf16::from_bits(bits).to_f32());
    }
}
