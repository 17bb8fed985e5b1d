//! Sizes of a vision transformer, as config.json has them.

use serde::Deserialize;

use crate::architecture::{Activation, COLOURS, Linear, TensorRef};
use crate::error::LoadError;
use crate::family::{CONFIG, activation, at_least_one, head_size, layer_count, refuse};
use crate::source::JsonFiles;

/// Largest height and width of an image that a model sees.
const SIDE_MAX: usize = 8192;

/// The keys that all families have. Each has defaults of its own for those that a file leaves out.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Keys {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_channels: Option<usize>,
    image_size: Option<Size>,
    patch_size: Option<Size>,
    layer_norm_eps: Option<f32>,
    hidden_act: Option<String>,
}

/// A height and a width: two numbers, or one for both.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Square(usize),
    Sides([usize; 2]),
}

/// Sizes, all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) head_size: usize,
    /// Height and width.
    pub(super) image: [usize; 2],
    /// Height and width.
    pub(super) patch: [usize; 2],
    pub(super) eps: f32,
    pub(super) activation: Activation,
}

/// Values of keys that a file leaves out, as transformers has them; those that are equal in all
/// families are not among them.
pub(super) struct Defaults {
    pub(super) patch: usize,
    pub(super) eps: f32,
    pub(super) activation: &'static str,
}

impl Size {
    fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side; 2],
            Self::Sides(sides) => sides,
        }
    }
}

impl Keys {
    /// Returns the sizes, with the defaults of a family.
    ///
    /// # Errors
    /// Sizes that are 0, too large, or do not go together; other images than those of three
    /// colours.
    pub(super) fn sizes(
        &self,
        json: &JsonFiles<'_>,
        defaults: &Defaults,
    ) -> Result<Sizes, LoadError> {
        let hidden = self.hidden_size.unwrap_or(768);
        let inner = self.intermediate_size.unwrap_or(3072);
        let layers = self.num_hidden_layers.unwrap_or(12);
        let heads = self.num_attention_heads.unwrap_or(12);
        let image = self.image_size.map_or([224; 2], Size::sides);
        let patch = self.patch_size.map_or([defaults.patch; 2], Size::sides);
        let of_json = [
            ("hidden_size", hidden),
            ("intermediate_size", inner),
            ("num_attention_heads", heads),
            ("image_size", image[0].min(image[1])),
            ("patch_size", patch[0].min(patch[1])),
        ];
        at_least_one(json, &of_json)?;
        layer_count(json, "num_hidden_layers", layers)?;
        let refused = |reason: String| Err(json.unsupported(CONFIG, reason));
        if image.iter().any(|side| *side > SIDE_MAX) {
            return refused(format!("image_size is {image:?}; at most {SIDE_MAX}"));
        }
        if image.iter().zip(patch).any(|(image, patch)| *image < patch) {
            return refused(format!(
                "image_size is {image:?} and patch_size {patch:?}, so there is no patch"
            ));
        }
        match self.num_channels {
            None | Some(COLOURS) => {}
            Some(other) => {
                let supported = format!("{COLOURS} (red, green, blue)");
                return Err(refuse(json, "num_channels", &other.to_string(), &supported));
            }
        }
        let name = self.hidden_act.as_deref().unwrap_or(defaults.activation);
        Ok(Sizes {
            hidden,
            inner,
            layers,
            heads,
            head_size: head_size(
                json,
                ("hidden_size", hidden),
                ("num_attention_heads", heads),
            )?,
            image,
            patch,
            eps: self.layer_norm_eps.unwrap_or(defaults.eps),
            activation: activation(json, "hidden_act", name)?,
        })
    }
}

impl Sizes {
    /// Returns the product of patches with `NAME.weight` and `NAME.bias`.
    pub(super) fn patches(&self, name: &str) -> Linear {
        let [height, width] = self.patch;
        let shape = [self.hidden, COLOURS, height, width];
        Linear {
            weight: TensorRef::new(format!("{name}.weight"), &shape),
            bias: Some(TensorRef::new(format!("{name}.bias"), &[self.hidden])),
        }
    }

    /// Returns the number of patches.
    pub(super) fn grid(&self) -> usize {
        let rows = self.image[0] / self.patch[0];
        rows * (self.image[1] / self.patch[1])
    }
}
