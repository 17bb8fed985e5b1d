//! Akiki's network: a spectrum and convolutions for each frame, then a recurrence over the frames.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{GRU, GRUState, RNN};
use candle_nn::{Conv1d, Conv1dConfig, Linear, Module};
use motet::task::Weights;

/// Samples of a frame, 16 ms.
pub(crate) const FRAME: usize = 256;
/// Samples before a frame by which it is judged, too; silence before the first.
const CONTEXT: usize = 320;
/// Samples of a spectrum.
const SPECTRUM: usize = 256;
/// Samples from one spectrum to the next.
const HOP: usize = 128;
/// Samples after a frame, for its last spectrum: those before its end in reverse.
const REFLECTED: usize = 64;
/// Frequencies of a spectrum.
const FREQUENCIES: usize = 129;
/// Channels and stride of the convolutions.
const CONVOLUTIONS: [(usize, usize, usize); 4] = [
    (FREQUENCIES, 128, 1),
    (128, 64, 2),
    (64, 64, 2),
    (64, 128, 1),
];
/// Values that are kept from frame to frame.
pub(crate) const HIDDEN: usize = 128;
/// Most frames whose spectra are in memory at once.
const FRAMES_AT_ONCE: usize = 1024;

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    /// A Fourier transform, real parts first, with its window.
    basis: Tensor,
    convolutions: Vec<Conv1d>,
    recurrence: GRU,
    head: Linear,
    device: Device,
}

impl Network {
    pub(crate) fn load(weights: &Weights, device: &Device) -> Result<Self> {
        let variables = weights.var_builder(DType::F32, device);
        let basis = variables.get((2 * FREQUENCIES, 1, SPECTRUM), "basis")?;
        let convolution = |(at, (inputs, outputs, stride))| {
            let config = Conv1dConfig {
                padding: 1,
                stride,
                ..Conv1dConfig::default()
            };
            let variables = variables.pp(format!("encoder.{at}"));
            candle_nn::conv1d(inputs, outputs, 3, config, variables)
        };
        let convolutions = CONVOLUTIONS.into_iter().enumerate();
        Ok(Self {
            basis: basis.squeeze(1)?.t()?.contiguous()?,
            convolutions: convolutions.map(convolution).collect::<Result<_>>()?,
            recurrence: candle_nn::gru(HIDDEN, HIDDEN, Default::default(), variables.pp("rnn"))?,
            head: candle_nn::linear(HIDDEN, 1, variables.pp("head"))?,
            device: device.clone(),
        })
    }

    /// Returns the probability of speech in each whole frame of each recording.
    pub(crate) fn forward(&self, recordings: &[&Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        // The longest first: those that are still going on are the first rows of every step.
        let mut order: Vec<usize> = (0..recordings.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(recordings[*at].len()));
        let features = order.iter().map(|at| self.features(recordings[*at]));
        let features: Vec<Tensor> = features.collect::<Result<_>>()?;
        let frames: Vec<usize> = order
            .iter()
            .map(|at| recordings[*at].len() / FRAME)
            .collect();
        let mut state = Tensor::zeros((order.len(), HIDDEN), DType::F32, &self.device)?;
        let mut found = vec![Vec::new(); recordings.len()];
        for frame in 0..frames.first().copied().unwrap_or_default() {
            let going_on = frames.partition_point(|frames| *frames > frame);
            let features = features[..going_on].iter().map(|of| of.narrow(0, frame, 1));
            let features = Tensor::cat(&features.collect::<Result<Vec<_>>>()?, 0)?;
            state = state.narrow(0, 0, going_on)?;
            state = self.recurrence.step(&features, &GRUState { h: state })?.h;
            let logits = self.head.forward(&state.relu()?)?;
            let probabilities = candle_nn::ops::sigmoid(&logits)?.flatten_all()?.to_vec1()?;
            for (at, probability) in order.iter().zip::<Vec<f32>>(probabilities) {
                found[*at].push(probability);
            }
        }
        Ok(found)
    }

    /// Returns the features of each whole frame of a recording, `[frames, HIDDEN]`.
    fn features(&self, samples: &[f32]) -> Result<Tensor> {
        let mut heard = vec![0.0; CONTEXT];
        heard.extend_from_slice(samples);
        let frames: Vec<usize> = (0..samples.len() / FRAME).collect();
        let parts = frames.chunks(FRAMES_AT_ONCE).map(|frames| {
            let mut spectra = Vec::new();
            for frame in frames {
                let window = &heard[frame * FRAME..][..CONTEXT + FRAME];
                let reflected = window.iter().rev().skip(1).take(REFLECTED);
                let window: Vec<f32> = window.iter().chain(reflected).copied().collect();
                for spectrum in window.windows(SPECTRUM).step_by(HOP) {
                    spectra.extend_from_slice(spectrum);
                }
            }
            let spectra = Tensor::from_vec(spectra, ((), SPECTRUM), &self.device)?;
            let waves = spectra.matmul(&self.basis)?.sqr()?;
            let power =
                waves.narrow(1, 0, FREQUENCIES)? + waves.narrow(1, FREQUENCIES, FREQUENCIES)?;
            let mut values = power?
                .sqrt()?
                .reshape((frames.len(), (), FREQUENCIES))?
                .transpose(1, 2)?;
            for convolution in &self.convolutions {
                values = convolution.forward(&values.contiguous()?)?.relu()?;
            }
            values.squeeze(2)
        });
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
    }
}
