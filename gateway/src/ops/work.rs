//! Costs of elementary steps in operations of about a nanosecond, for the estimates of
//! [`Op::work`]. The estimates decide whether an op runs on the async runtime, and whether it runs
//! at all, so they should be right within a factor of a few.
//!
//! [`Op::work`]: super::op::Op::work

use motet_proto::tensor::Tensor;

use super::error::OUTPUT_BYTES_MAX;

/// Cost of comparing or hashing an element of a list.
pub(super) const RANK: u64 = 8;
/// Cost of a lookup and an insertion in a hash table.
pub(super) const HASH: u64 = 32;
/// Cost of converting a number to another type.
pub(super) const CONVERT: u64 = 4;
/// Cost of parsing or formatting a number.
pub(super) const PARSE: u64 = 64;

/// Returns the cost of processing all numbers of a buffer of 32-bit values, or of copying a buffer
/// of strings.
pub(super) fn elements(bytes: usize) -> u64 {
    (bytes / size_of::<f32>()) as u64
}

/// Returns the cost of copying `times` parts out of `bytes` bytes, each of which may be the
/// longest. It is bounded, since results over [`OUTPUT_BYTES_MAX`] are errors.
pub(super) fn copies(bytes: usize, times: usize) -> u64 {
    const BYTES_PER_OPERATION: usize = 64;
    (bytes.saturating_mul(times).min(OUTPUT_BYTES_MAX) / BYTES_PER_OPERATION) as u64
}

/// Returns the cost of writing a string of `bytes` bytes `times` times and checking its UTF-8.
pub(super) fn texts(bytes: usize, times: usize) -> u64 {
    elements(bytes.saturating_mul(times).min(OUTPUT_BYTES_MAX))
}

/// Returns the cost of reading each element of a tensor as a string.
pub(super) fn as_texts(tensor: &Tensor) -> u64 {
    let each = match tensor.element().size() {
        Some(_) => PARSE,
        None => RANK,
    };
    each.saturating_mul(tensor.len() as u64)
}

/// Returns the product of some lengths.
pub(super) fn product<const N: usize>(lengths: [usize; N]) -> u64 {
    let lengths = lengths.into_iter().map(|n| n as u64);
    lengths.fold(1, u64::saturating_mul)
}
