//! One layer: attention, then feed-forward, each with a residual connection and norms.

use candle_core::{Result, Tensor};

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::norm::Norm;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::{self, Architecture};
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Layer {
    attention: Attention,
    attention_norms: Norms,
    feed_forward: FeedForward,
    feed_forward_norms: Norms,
}

/// Norms of a part of a layer.
#[derive(Debug)]
struct Norms {
    /// On what enters the part.
    before: Option<Norm>,
    /// On what leaves it, before it is added to the residual.
    after: Option<Norm>,
    /// On the sum, to which the residual is added once more then.
    of_first_sum: Option<Norm>,
    /// On the sum.
    of_sum: Option<Norm>,
}

impl Norms {
    fn load(
        placement: &Placement<'_>,
        [before, after, of_first_sum, of_sum]: [Option<&architecture::Norm>; 4],
    ) -> std::result::Result<Self, LoadError> {
        let load = |norm: Option<_>| norm.map(|norm| Norm::load(placement, norm)).transpose();
        Ok(Self {
            before: load(before)?,
            after: load(after)?,
            of_first_sum: load(of_first_sum)?,
            of_sum: load(of_sum)?,
        })
    }

    /// Computes `part` of `x`, and adds it.
    fn around(&self, x: &Tensor, part: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let part = match &self.before {
            Some(norm) => part(&norm.forward(x)?)?,
            None => part(x)?,
        };
        let sum = match &self.after {
            Some(norm) => (norm.forward(&part)? + x)?,
            None => (part + x)?,
        };
        let sum = match &self.of_first_sum {
            Some(norm) => (norm.forward(&sum)? + x)?,
            None => sum,
        };
        match &self.of_sum {
            Some(norm) => norm.forward(&sum),
            None => Ok(sum),
        }
    }
}

impl Layer {
    pub(super) fn load(
        placement: &Placement<'_>,
        architecture: &Architecture,
        layer: &architecture::Layer,
    ) -> std::result::Result<Self, LoadError> {
        let [attention_norms, feed_forward_norms] = match &layer.norms {
            architecture::Norms::Post {
                attention,
                feed_forward,
            } => [attention, feed_forward].map(|norm| [None, None, None, Some(norm)]),
            architecture::Norms::PostTwice {
                attention,
                feed_forward,
            } => [
                [None, None, Some(&attention[0]), Some(&attention[1])],
                [None, None, None, Some(feed_forward)],
            ],
            architecture::Norms::Pre {
                attention,
                feed_forward,
            } => [attention.as_ref(), Some(feed_forward)].map(|norm| [norm, None, None, None]),
            architecture::Norms::Sandwich {
                attention,
                feed_forward,
            } => [attention, feed_forward]
                .map(|norms| [Some(&norms[0]), Some(&norms[1]), None, None]),
        };
        Ok(Self {
            attention: Attention::load(placement, architecture, &layer.attention)?,
            attention_norms: Norms::load(placement, attention_norms)?,
            feed_forward: FeedForward::load(placement, &layer.feed_forward)?,
            feed_forward_norms: Norms::load(placement, feed_forward_norms)?,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        let attend = |x: &Tensor| self.attention.forward(x, pack);
        let x = self.attention_norms.around(x, attend)?;
        let feed = |x: &Tensor| self.feed_forward.forward(x);
        self.feed_forward_norms.around(&x, feed)
    }
}
