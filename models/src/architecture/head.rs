//! From the last layer's token vectors to what a row gives back.

use super::{Activation, Linear, Norm, Scope, TensorRef};

/// Result of a row: the vectors that are made of its tokens', and what is computed of each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Which vectors are made of the token vectors.
    pub readout: Readout,
    /// Steps on each of these vectors, in the order of computation.
    pub modules: Vec<HeadModule>,
}

/// Which vectors are made of a row's token vectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Readout {
    /// A vector for each token, special tokens included.
    EveryToken,
    /// A vector for each token but the first.
    AfterFirst,
    /// One vector for the row: what each of these gives, one after the other.
    Pooled(Vec<Pooling>),
}

/// How the token vectors of a row become one vector. All tokens count, special tokens included, but
/// for those that a row leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The mean.
    #[default]
    Mean,
    /// The vector of the first token.
    Cls,
    /// The vector of the last token.
    LastToken,
    /// The vector of the last token with another id than this one, which pads rows elsewhere; that
    /// of the first token if all have it. What a row leaves out counts, too.
    LastTokenBut(u32),
    /// The vector of the first token with this id; that of the first token if none has it.
    FirstOf(u32),
    /// The vector of the token with the greatest id, the first of equal ones.
    GreatestId,
    /// The greatest number of each column.
    Max,
    /// The sum, divided by the square root of the number of tokens.
    MeanSqrtLen,
    /// The mean with the place of each token in its row, from 1, as its weight.
    WeightedMean,
}

impl Pooling {
    /// The poolings of sentence-transformers by their names, in the order in which it joins those
    /// that are chosen by flags.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("cls", Self::Cls),
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("mean_sqrt_len_tokens", Self::MeanSqrtLen),
        ("weightedmean", Self::WeightedMean),
        ("lasttoken", Self::LastToken),
    ];
}

impl Readout {
    /// Returns the number of values of each vector, for tokens' vectors of this size.
    pub fn size(&self, hidden: usize) -> usize {
        match self {
            Self::EveryToken | Self::AfterFirst => hidden,
            Self::Pooled(poolings) => hidden * poolings.len(),
        }
    }
}

/// A step on a vector of a head.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadModule {
    /// `activation(x W^T + b)`
    Dense {
        /// The product.
        linear: Linear,
        /// On each value of the result.
        activation: HeadActivation,
    },
    /// [`Dense`](Self::Dense) with what enters it added: `activation(x W^T + b) + x`
    Residual {
        /// The product.
        linear: Linear,
        /// On each value of the result.
        activation: HeadActivation,
        /// A product on what is added, where its size is another.
        skip: Option<Linear>,
    },
    /// The difference of two products: `(x W^T + b) - (x V^T + c)`
    Difference {
        /// The first product.
        linear: Linear,
        /// The one that is subtracted, of the same size.
        subtracted: Linear,
    },
    /// A norm with weights.
    Norm(Norm),
    /// Division by the vector's length; a vector of length 0 stays as it is.
    UnitLength,
    /// From a vector for each token to their mean, the only vector from there on.
    TokenMean,
    /// From a vector for each token to one, by attention to them all.
    Attend(Box<AttentionPooling>),
    /// A feed-forward part beside the vector: `x + down(activation(up(norm(x))))`
    FeedForward(Box<NormedFeedForward>),
    /// From a vector for each token to the values that are not 0 of one vector for the row: one
    /// value after the other with its index before it, the greatest first. It is the last step.
    Sparse(SparsePooling),
    /// From one value for each token to a vector over the vocabulary, in the same form: of each
    /// token's id the greatest value, where that is above 0. It is the last step.
    TokenWeights {
        /// Ids of tokens that have none.
        skipped: Vec<u32>,
    },
}

/// Attention of one query, which is a weight, to all tokens of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPooling {
    /// Of which the query is made, of as many values as a token's vector, in any shape.
    pub probe: TensorRef,
    /// Number of heads.
    pub heads: usize,
    /// From the probe to the queries of all heads.
    pub query: Linear,
    /// From a token to the keys of all heads.
    pub key: Linear,
    /// From a token to the values of all heads.
    pub value: Linear,
    /// From the results of all heads to the vector.
    pub output: Linear,
}

/// A feed-forward part with a norm before it.
#[derive(Clone, Debug, PartialEq)]
pub struct NormedFeedForward {
    /// The norm.
    pub norm: Norm,
    /// To the inner size.
    pub up: Linear,
    /// On each inner value.
    pub activation: Activation,
    /// Back to the size of the vector.
    pub down: Linear,
}

impl NormedFeedForward {
    fn tensors(&self) -> Vec<&TensorRef> {
        let products = self.up.tensors().chain(self.down.tensors());
        self.norm.tensors().chain(products).collect()
    }
}

impl AttentionPooling {
    fn tensors(&self) -> Vec<&TensorRef> {
        let linears = [&self.query, &self.key, &self.value, &self.output];
        let linears = linears.into_iter().flat_map(Linear::tensors);
        linears.chain([&self.probe]).collect()
    }
}

/// How the vectors of tokens become one sparse vector: `ln(1 + max(0, x))` of each value, then one
/// of all tokens'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparsePooling {
    /// `true` for the sum over the tokens, `false` for the greatest.
    pub sum: bool,
    /// `true` if the logarithm is taken twice.
    pub log_twice: bool,
}

/// A function on each value of a head's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadActivation {
    /// `x`
    Identity,
    /// The hyperbolic tangent.
    Tanh,
    /// `max(0, x)`
    Relu,
    /// `x Phi(x)`, with the exact distribution function of the normal distribution.
    Gelu,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x / (1 + exp(-x))`
    Silu,
}

impl Head {
    /// Returns the vector of each token as it is.
    pub const fn tokens() -> Self {
        Self {
            readout: Readout::EveryToken,
            modules: Vec::new(),
        }
    }

    /// Returns one vector for the row, as it is.
    pub fn pooled(pooling: Pooling) -> Self {
        Self {
            readout: Readout::Pooled(vec![pooling]),
            modules: Vec::new(),
        }
    }

    /// Returns the head with a further step.
    #[must_use]
    pub fn then(mut self, module: HeadModule) -> Self {
        self.modules.push(module);
        self
    }

    /// Returns the head with vectors of length 1 (`true`), or without this last step (`false`).
    #[must_use]
    pub fn normalized(mut self, normalize: bool) -> Self {
        match (self.is_normalized(), normalize) {
            (false, true) => self.modules.push(HeadModule::UnitLength),
            (true, false) => {
                self.modules.pop();
            }
            _ => {}
        }
        self
    }

    /// Returns whether the vectors are scaled to length 1 at the end.
    pub fn is_normalized(&self) -> bool {
        self.modules.last() == Some(&HeadModule::UnitLength)
    }

    /// Returns the number of values of each vector, for an encoder of this hidden size.
    pub fn size(&self, hidden: usize) -> usize {
        let outputs = self.modules.iter().rev().find_map(|module| match module {
            HeadModule::Dense { linear, .. }
            | HeadModule::Residual { linear, .. }
            | HeadModule::Difference { linear, .. } => Some(linear.outputs()),
            // Index and value.
            HeadModule::Sparse(_) | HeadModule::TokenWeights { .. } => Some(2),
            HeadModule::Attend(pooling) => Some(pooling.output.outputs()),
            HeadModule::Norm(_)
            | HeadModule::UnitLength
            | HeadModule::TokenMean
            | HeadModule::FeedForward(_) => None,
        });
        outputs.unwrap_or_else(|| self.readout.size(hidden))
    }

    /// Returns the folders of modules whose weights the head names.
    pub fn folders(&self) -> Vec<&str> {
        let mut folders: Vec<&str> = Vec::new();
        for tensor in self.tensors() {
            if let Scope::Folder(folder) = &tensor.scope
                && !folders.contains(&folder.as_str())
            {
                folders.push(folder);
            }
        }
        folders
    }

    /// Returns the files of their own whose tensors the head names.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = Vec::new();
        for tensor in self.tensors() {
            if let Scope::File(file) = &tensor.scope
                && !files.contains(&file.as_str())
            {
                files.push(file);
            }
        }
        files
    }

    /// Returns all tensors that the head names.
    pub fn tensors(&self) -> Vec<&TensorRef> {
        fn of_module(module: &HeadModule) -> Vec<&TensorRef> {
            match module {
                HeadModule::Dense { linear, .. } => linear.tensors().collect(),
                HeadModule::Residual { linear, skip, .. } => {
                    let skip = skip.iter().flat_map(Linear::tensors);
                    linear.tensors().chain(skip).collect()
                }
                HeadModule::Difference { linear, subtracted } => {
                    linear.tensors().chain(subtracted.tensors()).collect()
                }
                HeadModule::Norm(norm) => norm.tensors().collect(),
                HeadModule::Attend(pooling) => pooling.tensors(),
                HeadModule::FeedForward(part) => part.tensors(),
                HeadModule::UnitLength
                | HeadModule::TokenMean
                | HeadModule::Sparse(_)
                | HeadModule::TokenWeights { .. } => Vec::new(),
            }
        }
        self.modules.iter().flat_map(of_module).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_as_wide_as_its_last_product() {
        let dense = |inputs, outputs| HeadModule::Dense {
            linear: Linear::new("dense", inputs, outputs),
            activation: HeadActivation::Tanh,
        };
        let bare = Head::pooled(Pooling::Cls);
        assert_eq!(bare.size(8), 8);
        let head = bare.then(dense(8, 5)).then(dense(5, 3)).normalized(true);
        assert_eq!((head.size(8), head.tensors().len()), (3, 4));
    }

    #[test]
    fn a_last_step_to_length_1_is_there_once_or_not() {
        let head = Head::tokens();
        let once = head.clone().normalized(true);
        assert_eq!(once.clone().normalized(true), once);
        assert_eq!(once.normalized(false), head);
        assert_eq!(head.clone().normalized(false), head);
    }
}
