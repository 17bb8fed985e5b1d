//! One layer: attention, then feed-forward, each with a residual connection and a norm.

use candle_core::{Result, Tensor};

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::{self, Norms};
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

impl Layer {
    pub(super) fn load(
        placement: &Placement<'_>,
        layer: &architecture::Layer,
    ) -> std::result::Result<Self, LoadError> {
        let Norms::Post {
            attention,
            feed_forward,
        } = &layer.norms;
        Ok(Self {
            attention: Attention::load(placement, &layer.attention, attention)?,
            feed_forward: FeedForward::load(placement, &layer.feed_forward, feed_forward)?,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        self.feed_forward.forward(&self.attention.forward(x, pack)?)
    }
}
