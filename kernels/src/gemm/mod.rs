//! Products with weights, `y = x W^T + b`, and what begins and ends them.
//!
//! [`Linear`] is the product of a layer, in f32 or with weights of 8 bits. Weights are packed once,
//! in panels of as many columns as a tile of sums has, so that they are read in the order in which
//! they lie:
//!
//! * `packed`: panels in the fewest bits that hold them exactly; `f16`, `bf16`, `half_rhs`: those
//!   of 16 bits.
//! * `microkernel`: a few tokens times the columns of a panel, summed in registers; `prefetch`: the
//!   next weights are requested meanwhile.
//! * `epilogue`: where sums start, and what happens to them before they are stored.
//! * `float`: the loops around the microkernel; `int8`: the same with weights of 8 bits.

pub(crate) mod bf16;
pub(crate) mod epilogue;
pub(crate) mod f16;
pub(crate) mod float;
pub(crate) mod half_rhs;
pub mod int8;
mod linear;
pub(crate) mod microkernel;
pub(crate) mod packed;
pub(crate) mod prefetch;

pub use epilogue::{Epilogue, Init};
pub use f16::converts_in_one_instruction as keeps_f16;
pub use linear::{Arithmetic, Linear};
