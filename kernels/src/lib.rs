//! CPU kernels of transformers: what a forward pass computes, without any model.
//!
//! * Matrices lie in blocks of columns ([`blocked`]), weights in panels that are read from front to
//!   back ([`gemm`]), in 16 bits where these hold them exactly, all in one mapping of huge pages
//!   ([`huge_pages`]).
//! * Products are computed in tiles whose sums stay in registers. Bias, residual and activation are
//!   their prologue and epilogue ([`Init`], [`Epilogue`]).
//! * [`attention`] takes a few queries at a time; no matrix of scores is ever whole.
//! * A step is computed by the calling thread or by all threads of the current rayon pool
//!   ([`parallel`]), in memory that is used again ([`scratch`]).
//! * All of it is compiled for several widths of vectors, and the widest is chosen at run time.
//!
//! **Determinism.** A token's sums are added in an order that depends on the shapes of the model
//! and the kind of processor only. So a row's result is the same, bit for bit, whatever rows are
//! computed with it and on any number of threads.
//!
//! Sizes that do not fit each other are mistakes of the caller, not of input: kernels panic.

pub mod activation;
pub mod attention;
pub mod blocked;
pub mod dot_products;
pub mod embedding;
pub mod gemm;
pub mod huge_pages;
pub mod norm;
pub mod parallel;
pub mod rotary;
pub mod scratch;

mod aligned;
mod simd;

pub use activation::Activation;
pub use aligned::Aligned;
pub use attention::{Attention, Buckets, Mask, RelativeBias};
pub use blocked::{ColumnBlocks, Matrix};
pub use dot_products::PackedVectors;
pub use embedding::EmbeddingTable;
pub use gemm::{Arithmetic, Epilogue, Init, Linear};
pub use huge_pages::{Relocatable, WeightBuffer};
pub use norm::Norm;
pub use parallel::Parallelism;
pub use rotary::{Pairs, Rotary};
pub use scratch::{Scratch, ScratchPool};
