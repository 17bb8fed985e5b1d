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
//!
//! # Example
//!
//! A gated feed-forward part of 64 inner values, for 3 tokens of 32 values:
//!
//! ```
//! use motet_kernels::gemm::int8::QuantizedActivations;
//! use motet_kernels::weights::InMemory;
//! use motet_kernels::{
//!     Activation, Arithmetic, ColumnBlocks, Epilogue, Init, Linear, Matrix, Parallelism,
//! };
//!
//! let (hidden, inner) = (ColumnBlocks::new(32, 1), ColumnBlocks::new(64, 1));
//! let pack = |inputs: ColumnBlocks, outputs: ColumnBlocks| {
//!     let values = vec![0.5; outputs.count * inputs.count];
//!     let weight = InMemory { values: &values, size: inputs.count };
//!     let Ok(linear) = Linear::pack(&weight, None, inputs, outputs, Arithmetic::F32);
//!     linear
//! };
//! let (gate, up, down) = (pack(hidden, inner), pack(hidden, inner), pack(inner, hidden));
//!
//! let mut x = vec![0.1; 3 * 32];
//! let (mut ups, mut gated) = (vec![0.0; 3 * 64], vec![0.0; 3 * 64]);
//! let mut scratch = QuantizedActivations::default();
//! let mut product = |linear: &Linear, x: Matrix, out: &mut [f32], init, epilogue: Epilogue| {
//!     linear.product(x, &mut scratch, out, init, epilogue, Parallelism::WithinThread);
//! };
//! let from = Matrix::new(&x, hidden);
//! product(&up, from, &mut ups, Init::Bias, Epilogue::Store);
//! let gate_with = Epilogue::Gate(Activation::Silu, &ups);
//! product(&gate, from, &mut gated, Init::Bias, gate_with);
//! // x += down(silu(gate(x)) * up(x))
//! product(&down, Matrix::new(&gated, inner), &mut x, Init::Residual, Epilogue::Store);
//!
//! let (up, silu) = (32.0 * 0.05_f32, |x: f32| x / (1.0 + (-x).exp()));
//! let expected = 0.1 + 64.0 * 0.5 * silu(up) * up;
//! assert!(x.iter().all(|x| (x - expected).abs() < 1e-4));
//! ```

pub mod activation;
pub mod attention;
pub mod blocked;
pub mod dot_products;
pub mod elementwise;
pub mod embedding;
pub mod gemm;
pub mod huge_pages;
pub mod norm;
pub mod parallel;
pub mod pooling;
pub mod rotary;
pub mod scratch;
pub mod weights;

mod aligned;
mod simd;

pub use activation::Activation;
pub use aligned::Aligned;
pub use attention::{Attention, Bias, Buckets, Disentangled, Distances, Mask, RelativeBias, Rows};
pub use blocked::{ColumnBlocks, Matrix};
pub use dot_products::PackedVectors;
pub use embedding::EmbeddingTable;
pub use gemm::{Arithmetic, Epilogue, Init, Linear};
pub use huge_pages::Relocatable;
pub use norm::Norm;
pub use parallel::Parallelism;
pub use rotary::{Pairs, Rotary};
pub use scratch::{Scratch, ScratchPool};
pub use weights::{InMemory, WeightRows};
