//! Long texts to chunks that a model can take.

mod borders;
mod chunker;
mod clean;

pub use chunker::{Chunk, Chunker, ChunkerError, ChunkerOptions};

#[cfg(all(test, feature = "builtin"))]
mod tests;
