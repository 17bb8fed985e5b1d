//! Layers of CLIP and SigLIP, with the names that the parts for texts and for images have in
//! common.

use crate::architecture::{Activation, Attention, FeedForward, Layer, Linear, Mask, Norm, Norms};

/// Sizes of a part's layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct TowerLayer {
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) heads: usize,
    pub(super) head_size: usize,
    pub(super) eps: f32,
    pub(super) activation: Activation,
    pub(super) mask: Mask,
}

impl TowerLayer {
    /// Returns the layer with this number.
    pub(super) fn at(&self, index: usize) -> Layer {
        let name = |part: &str| format!("encoder.layers.{index}.{part}");
        let norm = |part: &str| Norm::layer(&name(part), self.hidden, self.eps);
        let (hidden, inner) = (self.hidden, self.inner);
        let products = ["q", "k", "v", "out"]
            .map(|part| Linear::new(&name(&format!("self_attn.{part}_proj")), hidden, hidden));
        Layer {
            attention: Attention {
                mask: self.mask,
                ..Attention::new(self.heads, self.head_size, products)
            },
            feed_forward: FeedForward::Plain {
                up: Linear::new(&name("mlp.fc1"), hidden, inner),
                activation: self.activation,
                down: Linear::new(&name("mlp.fc2"), inner, hidden),
            },
            norms: Norms::Pre {
                attention: Some(norm("layer_norm1")),
                feed_forward: norm("layer_norm2"),
            },
        }
    }
}
