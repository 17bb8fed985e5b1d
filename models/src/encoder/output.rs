//! From the last layer's token vectors to what the rows asked for.

use crate::config::{ModelConfig, Pooling};
use crate::late_interaction::TokenVectors;

/// Output requested for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowOutput {
    /// One vector for the row.
    Pooled {
        /// How token vectors become one; the model's own way if `None`.
        pooling: Option<Pooling>,
        /// `true` to scale it to length 1; `None` for the model's default.
        normalize: Option<bool>,
    },
    /// A vector for each token, special tokens included.
    Tokens {
        /// `true` to scale each to length 1, as [`crate::maxsim`] needs.
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
    /// Returns the vector of a row that asked for [`RowOutput::Pooled`].
    pub fn pooled(self) -> Option<Vec<f32>> {
        match self {
            Self::Pooled(vector) => Some(vector),
            Self::Tokens(_) => None,
        }
    }

    /// Returns `true` if every value is a finite number.
    pub fn is_finite(&self) -> bool {
        let values = match self {
            Self::Pooled(vector) => vector,
            Self::Tokens(vectors) => vectors.as_slice(),
        };
        // Without a branch for each value, the compiler checks several at a time.
        let all_before = |all: bool, value: &f32| all & value.is_finite();
        values.iter().fold(true, all_before)
    }

    /// Returns the vectors of a row that asked for [`RowOutput::Tokens`].
    pub fn tokens(self) -> Option<TokenVectors> {
        match self {
            Self::Tokens(vectors) => Some(vectors),
            Self::Pooled(_) => None,
        }
    }
}

/// Returns the output of a row of `len` tokens; `token` writes a token's vector, `[H]`.
pub(super) fn of_row(
    wanted: RowOutput,
    config: &ModelConfig,
    len: usize,
    token: impl Fn(usize, &mut [f32]),
) -> RowEmbedding {
    let size = config.hidden_size();
    match wanted {
        RowOutput::Pooled { pooling, normalize } => {
            let mut vector = vec![0.0; size];
            token(0, &mut vector);
            if pooling.unwrap_or(config.pooling) == Pooling::Mean {
                let mut other = vec![0.0; size];
                for at in 1..len {
                    token(at, &mut other);
                    vector.iter_mut().zip(&other).for_each(|(sum, x)| *sum += x);
                }
                vector.iter_mut().for_each(|sum| *sum /= len as f32);
            }
            if normalize.unwrap_or(config.normalize) {
                scale_to_unit(&mut vector);
            }
            RowEmbedding::Pooled(vector)
        }
        RowOutput::Tokens { normalize } => {
            let mut vectors = vec![0.0; len * size];
            for (at, vector) in vectors.chunks_exact_mut(size).enumerate() {
                token(at, vector);
                if normalize {
                    scale_to_unit(vector);
                }
            }
            RowEmbedding::Tokens(TokenVectors::new(vectors, size))
        }
    }
}

/// Divides by the length; a vector of length 0 stays as it is.
fn scale_to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}
