//! Long texts to chunks of a number of tokens.
//!
//! * `clean`: folds white space and drops control characters, and keeps the origin of characters.
//! * `borders`: boundaries of sentences, words and tokens.
//! * `chunker`: [`Chunker`], which cuts at the best boundary within the limit.

mod borders;
mod chunker;
mod clean;

pub use chunker::{Chunk, Chunker, ChunkerError, ChunkerOptions};

#[cfg(all(test, feature = "builtin"))]
mod tests;
