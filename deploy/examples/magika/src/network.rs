//! Magika's network.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Conv1d, Conv1dConfig, Linear, Module, VarBuilder};
use motet::task::{FolderError, Weights};

/// Tokens: bytes, and one for places that no byte fills.
const TOKENS: usize = 257;
/// Values of a token.
const WIDTH: usize = 64;
/// Neighbouring tokens that become one position.
const FOLD: usize = 4;
/// Channels of the convolution.
const CHANNELS: usize = 512;
/// Positions that the convolution looks at.
const KERNEL: usize = 5;
/// Added to a variance, so that its root is not 0.
const EPSILON: f64 = 1e-6;

/// The network: tokens to the probabilities of labels.
pub(crate) struct Network {
    /// A vector for each token.
    tokens: Tensor,
    /// Normalises each value over all positions of a file.
    positions: Norm,
    convolution: Conv1d,
    channels: Norm,
    labels: Linear,
}

impl Network {
    /// Checks that the weights are those of a network for this many tokens and labels.
    pub(crate) fn check(
        weights: &Weights,
        tokens: usize,
        labels: usize,
    ) -> std::result::Result<(), FolderError> {
        weights.expect("tokens.weight", &[TOKENS, WIDTH])?;
        weights.expect("positions.weight", &[tokens / FOLD])?;
        weights.expect("convolution.weight", &[CHANNELS, WIDTH * FOLD, KERNEL])?;
        weights.expect("labels.weight", &[labels, CHANNELS])
    }

    pub(crate) fn load(
        weights: &Weights,
        tokens: usize,
        labels: usize,
        device: &Device,
    ) -> Result<Self> {
        let variables = weights.var_builder(DType::F32, device);
        let vectors = variables.get((TOKENS, WIDTH), "tokens.weight")?;
        let bias = variables.get(WIDTH, "tokens.bias")?;
        let config = Conv1dConfig::default();
        Ok(Self {
            // The first layer's activation depends on the token alone.
            tokens: vectors.broadcast_add(&bias)?.gelu()?,
            positions: Norm::load(tokens / FOLD, &variables.pp("positions"))?,
            convolution: candle_nn::conv1d(
                WIDTH * FOLD,
                CHANNELS,
                KERNEL,
                config,
                variables.pp("convolution"),
            )?,
            channels: Norm::load(CHANNELS, &variables.pp("channels"))?,
            labels: candle_nn::linear(CHANNELS, labels, variables.pp("labels"))?,
        })
    }

    /// Returns the probability of each label, `[files, labels]`, of tokens `[files, tokens]`.
    pub(crate) fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let (files, length) = tokens.dims2()?;
        let vectors = self.tokens.index_select(&tokens.flatten_all()?, 0)?;
        let values = vectors.reshape((files, length / FOLD, WIDTH * FOLD))?;
        let values = values.transpose(1, 2)?.contiguous()?;
        let values = self
            .convolution
            .forward(&self.positions.forward(&values)?)?;
        let strongest = values.gelu()?.max(D::Minus1)?;
        let logits = self.labels.forward(&self.channels.forward(&strongest)?)?;
        candle_nn::ops::softmax_last_dim(&logits)
    }
}

/// A layer norm over the last dimension. That of `candle_nn` takes the square of the mean from the
/// mean of squares, which can be below zero: in a file of one repeated byte all positions are
/// alike.
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn load(width: usize, variables: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: variables.get(width, "weight")?,
            bias: variables.get(width, "bias")?,
        })
    }

    fn forward(&self, values: &Tensor) -> Result<Tensor> {
        let centred = values.broadcast_sub(&values.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
        normed
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}
