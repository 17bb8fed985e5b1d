//! One layer: attention, then feed-forward, each with a residual connection and a norm.

use candle_core::{Result, Tensor};

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::pack::Pack;
use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

impl Layer {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let name = format!("encoder.layer.{index}");
        Ok(Self {
            attention: Attention::load(weights, config, &name)?,
            feed_forward: FeedForward::load(weights, config, &name)?,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        self.feed_forward.forward(&self.attention.forward(x, pack)?)
    }
}
