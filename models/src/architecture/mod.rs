//! Descriptions of models, as data: shapes, constants, and the name of every weight.
//!
//! A family (the crate's `family` module) writes an [`Architecture`] from config.json; the engines
//! load and compute what it says. So an engine knows no name of a tensor and no family, and a
//! family knows no engine. Nothing here reads a file or computes.
//!
//! * `embedding`: [`Embedding`], what enters the first layer: [`TokenEmbedding`], from token ids;
//!   `patches`: [`PatchEmbedding`], from images.
//! * `convolution`: [`Convolution`], over neighbouring tokens.
//! * `attention`: [`Attention`], with positions of several kinds: [`Rotary`], [`PositionBias`],
//!   [`RelativeEmbedding`]; `feed_forward`: [`FeedForward`].
//! * `head`: [`Head`], what a row gives back.
//! * `text_rows`: [`TextRows`], how texts become rows.
//! * `tensor`: [`TensorRef`], and [`Linear`] and [`Norm`], which are made of them.

mod attention;
mod convolution;
mod embedding;
mod feed_forward;
mod head;
mod patches;
mod tensor;
mod text_rows;

pub use attention::{
    Attention, Distances, HeadNorms, Mask, Pairs, PositionBias, RelativeEmbedding,
    RelativeProducts, Rotary,
};
pub use convolution::{Convolution, ConvolutionActivation};
pub use embedding::{Counting, Embedding, SharedRows, TokenEmbedding};
pub use feed_forward::{Activation, FeedForward};
pub use head::{
    AttentionPooling, Head, HeadActivation, HeadModule, NormedFeedForward, Pooling, Readout,
    SparsePooling,
};
pub(crate) use patches::COLOURS;
pub use patches::PatchEmbedding;
pub use tensor::{Linear, Norm, NormKind, Scope, TensorRef};
pub use text_rows::TextRows;

/// An encoder: token ids, or an image, to a vector for each token.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Prefixes of the encoder's tensors in checkpoints of the family where these are a part of a
    /// model with a head, such as `bert.`: a file has one of them. The names of the description are
    /// without it.
    pub prefixes: &'static [&'static str],
    /// Length of a token's vector between layers.
    pub hidden: usize,
    /// Maximum number of tokens of a row, special tokens included.
    pub max_tokens: usize,
    /// From token ids, or an image, to the vectors that enter the first layer.
    pub embedding: Embedding,
    /// Bias that is added to the scores of attention in every layer.
    pub position_bias: Option<PositionBias>,
    /// Vectors of distances, of which layers make keys and queries. A model that has them has no
    /// position bias.
    pub relative: Option<RelativeEmbedding>,
    /// A convolution beside the first layer.
    pub convolution: Option<Convolution>,
    /// The layers, in the order of computation, all with heads of one number and size. A model of
    /// static embeddings has none.
    pub layers: Vec<Layer>,
    /// The norm after the last layer.
    pub final_norm: Option<Norm>,
}

/// A layer: attention, then feed-forward, each with a residual connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Tokens of a row read each other.
    pub attention: Attention,
    /// Each token by itself.
    pub feed_forward: FeedForward,
    /// The norms, and where they are.
    pub norms: Norms,
}

/// Norms of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum Norms {
    /// After each of the two sums with the residual: `x = norm(x + attention(x))`, then
    /// `x = norm(x + feed_forward(x))`.
    Post {
        /// The norm after attention.
        attention: Norm,
        /// The norm after feed-forward.
        feed_forward: Norm,
    },
    /// As [`Post`](Self::Post), with a second sum and norm after attention:
    /// `x = second(x + first(x + attention(x)))`.
    PostTwice {
        /// The first norm and the second one after attention.
        attention: Box<[Norm; 2]>,
        /// The norm after feed-forward.
        feed_forward: Norm,
    },
    /// Before attention and before feed-forward, beside the residual: `x = x + attention(norm(x))`,
    /// then `x = x + feed_forward(norm(x))`.
    Pre {
        /// The norm before attention; some families have none in the first layer.
        attention: Option<Norm>,
        /// The norm before feed-forward.
        feed_forward: Norm,
    },
    /// Before and after attention and feed-forward, beside the residual:
    /// `x = x + after(attention(before(x)))`, then the same with feed-forward.
    Sandwich {
        /// The norms before and after attention.
        attention: Box<[Norm; 2]>,
        /// The norms before and after feed-forward.
        feed_forward: Box<[Norm; 2]>,
    },
}

impl Architecture {
    /// Returns the number of token ids, 0 where rows are images.
    pub fn vocabulary(&self) -> usize {
        let tokens = self.embedding.tokens();
        tokens.map_or(0, TokenEmbedding::vocabulary)
    }

    /// Returns the rotary embeddings of all layers, each once, in the order in which they are used.
    pub fn rotaries(&self) -> Vec<&Rotary> {
        let all = self.layers.iter();
        distinct(all.filter_map(|layer| layer.attention.rotary.as_ref()))
    }

    /// Returns the masks of all layers, each once, in the order in which they are used.
    pub fn masks(&self) -> Vec<Mask> {
        distinct(self.layers.iter().map(|layer| layer.attention.mask))
    }

    /// Returns the number of attention heads of a layer, the same in all layers.
    pub fn heads(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.attention.heads)
    }

    /// Returns the number of heads of keys and of values, the same in all layers.
    pub fn kv_heads(&self) -> usize {
        let first = self.layers.first();
        first.map_or(0, |layer| layer.attention.kv_heads)
    }

    /// Returns all tensors that the description names, each part of one by itself.
    pub fn tensors(&self) -> Vec<&TensorRef> {
        let mut tensors = self.embedding.tensors();
        tensors.extend(self.position_bias.iter().flat_map(PositionBias::table));
        let relative = self.relative.iter();
        tensors.extend(relative.clone().map(|relative| &relative.table));
        tensors.extend(relative.flat_map(|it| &it.norm).flat_map(Norm::tensors));
        tensors.extend(self.convolution.iter().flat_map(Convolution::tensors));
        tensors.extend(self.layers.iter().flat_map(Layer::tensors));
        tensors.extend(self.final_norm.iter().flat_map(Norm::tensors));
        tensors
    }
}

impl Layer {
    fn tensors(&self) -> Vec<&TensorRef> {
        let norms: Vec<&Norm> = match &self.norms {
            Norms::Post {
                attention,
                feed_forward,
            } => vec![attention, feed_forward],
            Norms::PostTwice {
                attention,
                feed_forward,
            } => attention.iter().chain([feed_forward]).collect(),
            Norms::Pre {
                attention,
                feed_forward,
            } => attention.iter().chain([feed_forward]).collect(),
            Norms::Sandwich {
                attention,
                feed_forward,
            } => attention.iter().chain(feed_forward.iter()).collect(),
        };
        let mut tensors = self.attention.tensors();
        tensors.extend(self.feed_forward.tensors());
        tensors.extend(norms.into_iter().flat_map(Norm::tensors));
        tensors
    }
}

/// Returns each of some values once, in order; there are few different ones.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}
