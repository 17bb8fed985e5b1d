//! The network of Open NSFW, a thin ResNet-50.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear, Module, VarBuilder};
use motet::task::Weights;

use crate::picture::SIDE;

/// Blocks of each stage, and the channels between their layers; four times as many go out.
const STAGES: [(usize, usize); 4] = [(3, 32), (4, 64), (6, 128), (3, 256)];
/// Channels before the first stage.
const STEM: usize = 64;
/// Means of the pixels that the network was trained on, of red, green and blue.
const MEANS: [f32; 3] = [123.0, 117.0, 104.0];

/// The network. The norms are part of its convolutions.
#[derive(Debug)]
pub struct Network {
    means: Tensor,
    stem: Conv2d,
    blocks: Vec<Block>,
    classes: Linear,
}

#[derive(Debug)]
struct Block {
    /// The first of the block's layers, and what goes around them where the shape changes.
    first: Conv2d,
    around: Option<Conv2d>,
    second: Conv2d,
    third: Conv2d,
}

impl Network {
    /// Loads the network.
    ///
    /// # Errors
    /// Weights that are missing or have another shape.
    pub fn load(weights: &Weights, device: &Device) -> Result<Self> {
        let variables = weights.var_builder(DType::F32, device);
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for (stage, (count, inner)) in STAGES.into_iter().enumerate() {
            for block in 0..count {
                let variables = variables.pp(format!("blocks.{}", blocks.len()));
                let stride = if block == 0 && stage > 0 { 2 } else { 1 };
                let layer = |name, kernel, inputs, outputs, stride| {
                    convolution(variables.pp(name), kernel, inputs, outputs, stride)
                };
                let around = || layer("around", 1, inputs, 4 * inner, stride);
                blocks.push(Block {
                    first: layer("first", 1, inputs, inner, stride)?,
                    around: (block == 0).then(around).transpose()?,
                    second: layer("second", 3, inner, inner, 1)?,
                    third: layer("third", 1, inner, 4 * inner, 1)?,
                });
                inputs = 4 * inner;
            }
        }
        Ok(Self {
            means: Tensor::new(&MEANS, device)?.reshape((1, 3, 1, 1))?,
            stem: convolution(variables.pp("stem"), 7, 3, STEM, 2)?,
            blocks,
            classes: candle_nn::linear(inputs, 2, variables.pp("classes"))?,
        })
    }

    /// Returns the probability that each picture is not safe for work, of their pixels in RGB, `u8`
    /// of `[pictures, SIDE, SIDE, 3]`.
    ///
    /// # Errors
    /// Pixels of another shape, and those of the device.
    pub fn forward(&self, pixels: &Tensor) -> Result<Vec<f32>> {
        let (_, SIDE, SIDE, 3) = pixels.dims4()? else {
            candle_core::bail!("pixels of the shape {:?}", pixels.shape());
        };
        let values = pixels.permute((0, 3, 1, 2))?.to_dtype(DType::F32)?;
        let values = values.broadcast_sub(&self.means)?.contiguous()?;
        let values = self.stem.forward(&values)?.relu()?;
        // 112 positions to 56, the windows of the last over its edge; nothing is below zero.
        let values = values.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
        let mut values = values.max_pool2d_with_stride(3, 2)?;
        for block in &self.blocks {
            values = block.forward(&values)?;
        }
        let means = values.mean((2, 3))?;
        let classes = candle_nn::ops::softmax_last_dim(&self.classes.forward(&means)?)?;
        classes.narrow(D::Minus1, 1, 1)?.flatten_all()?.to_vec1()
    }
}

impl Block {
    fn forward(&self, values: &Tensor) -> Result<Tensor> {
        let inner = self.first.forward(values)?.relu()?;
        let inner = self.second.forward(&inner)?.relu()?;
        let inner = self.third.forward(&inner)?;
        match &self.around {
            Some(around) => inner + around.forward(values)?,
            None => inner + values,
        }?
        .relu()
    }
}

fn convolution(
    variables: VarBuilder<'_>,
    kernel: usize,
    inputs: usize,
    outputs: usize,
    stride: usize,
) -> Result<Conv2d> {
    let config = Conv2dConfig {
        padding: kernel / 2,
        stride,
        ..Conv2dConfig::default()
    };
    candle_nn::conv2d(inputs, outputs, kernel, config, variables)
}
