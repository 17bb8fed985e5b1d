//! What elementary steps cost, in operations of about a nanosecond each: for the estimates of
//! [`Op::work`]. They decide whether an op may run on the async runtime and whether it may run at
//! all, so a factor of two does not matter, and a factor of ten does.
//!
//! [`Op::work`]: super::op::Op::work

use motet_proto::tensor::Tensor;

use super::error::OUTPUT_BYTES_MAX;

/// Comparing or hashing an element of a list that is ranked or looked up.
pub(super) const RANK: u64 = 8;
/// Looking a number up in a hash table, and putting it in.
pub(super) const HASH: u64 = 32;
/// Converting a number to another type.
pub(super) const CONVERT: u64 = 4;
/// Reading a number from a text, or writing one.
pub(super) const PARSE: u64 = 64;

/// Handling all numbers of a buffer of 32-bit values, or copying a buffer with its lengths.
pub(super) fn elements(bytes: usize) -> u64 {
    (bytes / size_of::<f32>()) as u64
}

/// Copying `times` parts out of `bytes` bytes, where each part may be the longest. Results over
/// [`OUTPUT_BYTES_MAX`] are refused, so this never exceeds the limit by itself.
pub(super) fn copies(bytes: usize, times: usize) -> u64 {
    const BYTES_PER_OPERATION: usize = 64;
    (bytes.saturating_mul(times).min(OUTPUT_BYTES_MAX) / BYTES_PER_OPERATION) as u64
}

/// Writing a text of `bytes` bytes `times` times, and checking that it is UTF-8.
pub(super) fn texts(bytes: usize, times: usize) -> u64 {
    elements(bytes.saturating_mul(times).min(OUTPUT_BYTES_MAX))
}

/// Reading each element of a tensor as a text.
pub(super) fn as_texts(tensor: &Tensor) -> u64 {
    let each = match tensor.element().size() {
        Some(_) => PARSE,
        None => RANK,
    };
    each.saturating_mul(tensor.len() as u64)
}

/// The product of some lengths.
pub(super) fn product<const N: usize>(lengths: [usize; N]) -> u64 {
    let lengths = lengths.into_iter().map(|n| n as u64);
    lengths.fold(1, u64::saturating_mul)
}
