//! From the last layer's token vectors to what the rows asked for.

use candle_core::{Result, Tensor};

use super::pack::{Pack, RowInput};
use crate::config::{ModelConfig, Pooling};
use crate::late_interaction::TokenVectors;

/// What is wanted of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowOutput {
    /// One vector for the row.
    Pooled {
        /// How token vectors become one; the model's own way if `None`.
        pooling: Option<Pooling>,
        /// Whether it is scaled to length 1; as the model says if `None`.
        normalize: Option<bool>,
    },
    /// A vector for each token, special tokens included.
    Tokens {
        /// Whether each is scaled to length 1, as [`crate::maxsim`] needs.
        normalize: bool,
    },
}

impl RowOutput {
    /// One vector, pooled and scaled as the model says.
    pub const POOLED: Self = Self::Pooled {
        pooling: None,
        normalize: None,
    };
    /// Token vectors of length 1.
    pub const TOKENS: Self = Self::Tokens { normalize: true };
}

/// A row's result, f32 on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum RowEmbedding {
    /// `[H]`
    Pooled(Vec<f32>),
    /// `[L, H]`
    Tokens(TokenVectors),
}

impl RowEmbedding {
    /// The vector of a row that asked for [`RowOutput::Pooled`].
    pub fn pooled(self) -> Option<Vec<f32>> {
        match self {
            Self::Pooled(vector) => Some(vector),
            Self::Tokens(_) => None,
        }
    }

    /// The vectors of a row that asked for [`RowOutput::Tokens`].
    pub fn tokens(self) -> Option<TokenVectors> {
        match self {
            Self::Tokens(vectors) => Some(vectors),
            Self::Pooled(_) => None,
        }
    }
}

/// Pools on the device, so that only what was asked for crosses to the host. `hidden` is f32 `[T, H]`.
pub(super) fn collect(
    hidden: &Tensor,
    pack: &Pack,
    rows: &[&RowInput<'_>],
    config: &ModelConfig,
) -> Result<Vec<RowEmbedding>> {
    let size = config.hidden_size();
    rows.iter()
        .zip(&pack.rows)
        .map(|(row, range)| {
            let tokens = hidden.narrow(0, range.start, range.len())?;
            match row.output {
                RowOutput::Pooled { pooling, normalize } => {
                    let mut vector = pool(&tokens, pooling.unwrap_or(config.pooling))?.to_vec1()?;
                    if normalize.unwrap_or(config.normalize) {
                        scale_to_unit(&mut vector);
                    }
                    Ok(RowEmbedding::Pooled(vector))
                }
                RowOutput::Tokens { normalize } => {
                    let mut vectors: Vec<f32> = tokens.flatten_all()?.to_vec1()?;
                    if normalize {
                        vectors.chunks_exact_mut(size).for_each(scale_to_unit);
                    }
                    Ok(RowEmbedding::Tokens(TokenVectors::new(vectors, size)))
                }
            }
        })
        .collect()
}

/// `[L, H]` to `[H]`
fn pool(tokens: &Tensor, pooling: Pooling) -> Result<Tensor> {
    match pooling {
        Pooling::Mean => tokens.mean(0),
        Pooling::Cls => tokens.get(0),
    }
}

/// Divides by the length; a vector of length 0 stays as it is.
fn scale_to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}
