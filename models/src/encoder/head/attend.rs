//! Attention of one query, which is a weight, to all tokens of a row.
//!
//! The query is always the same, so keys need not be computed: its product with the key of a token
//! is the product of the token with one vector for each head, but for an addend that is equal for
//! all tokens and which a softmax does not see. The values of a head are a product of tokens, too:
//! it is computed once, of their weighted mean.

use motet_kernels::{Arithmetic, InMemory, Linear};

use super::{Dense, one_block};
use crate::architecture::{AttentionPooling, HeadActivation};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Attention with its weights.
#[derive(Debug)]
pub(super) struct Attend {
    heads: usize,
    /// From tokens to the scores of the heads.
    scores: Dense,
    /// From a mean of tokens to the values of all heads.
    value: Dense,
    output: Dense,
}

impl Attend {
    pub(super) fn load(
        checkpoint: &Checkpoint,
        pooling: &AttentionPooling,
    ) -> Result<Self, LoadError> {
        let load = |linear| Dense::load(checkpoint, linear, HeadActivation::Identity);
        let query = load(&pooling.query)?.run(&checkpoint.values(&pooling.probe)?);
        let keys = checkpoint.values(&pooling.key.weight)?;
        let (size, of_head) = (pooling.key.inputs(), query.len() / pooling.heads);
        let scale = (of_head as f32).sqrt().recip();
        let mut vectors = vec![0.0; pooling.heads * size];
        let rows = query.iter().zip(keys.chunks_exact(size)).enumerate();
        for (row, (factor, key)) in rows {
            let vector = &mut vectors[row / of_head * size..][..size];
            add_scaled(vector, key, scale * factor);
        }
        let weight = InMemory {
            values: &vectors,
            size,
        };
        let (inputs, outputs) = (one_block(size), one_block(pooling.heads));
        let Ok(linear) = Linear::pack(&weight, None, inputs, outputs, Arithmetic::F32);
        Ok(Self {
            heads: pooling.heads,
            scores: Dense {
                inputs,
                linear,
                activation: HeadActivation::Identity,
            },
            value: load(&pooling.value)?,
            output: load(&pooling.output)?,
        })
    }

    /// Returns the number of values of the result.
    pub(super) fn outputs(&self) -> usize {
        self.output.linear.outputs().count
    }

    /// Returns the vector of a row, by those of its tokens, of which there is one at least.
    pub(super) fn run(&self, tokens: &[f32]) -> Vec<f32> {
        let size = self.scores.inputs.count;
        let scores = self.scores.run(tokens);
        let mut means = vec![0.0; self.heads * size];
        for (head, mean) in means.chunks_exact_mut(size).enumerate() {
            let of_head = scores.iter().skip(head).step_by(self.heads);
            let weights = softmax(of_head.copied());
            for (token, weight) in tokens.chunks_exact(size).zip(weights) {
                add_scaled(mean, token, weight);
            }
        }
        // The values of all heads of each mean, of which each head takes its own.
        let values = self.value.run(&means);
        let all = values.len() / self.heads;
        let of_head = all / self.heads;
        let own = values.chunks_exact(all).enumerate();
        let own = own.flat_map(|(head, values)| &values[head * of_head..][..of_head]);
        self.output.run(&own.copied().collect::<Vec<f32>>())
    }
}

fn add_scaled(sum: &mut [f32], values: &[f32], factor: f32) {
    sum.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += factor * value);
}

fn softmax(scores: impl Iterator<Item = f32> + Clone) -> impl Iterator<Item = f32> {
    let most = scores.clone().fold(f32::NEG_INFINITY, f32::max);
    let powers = scores.map(move |score| (score - most).exp());
    let sum: f32 = powers.clone().sum();
    powers.map(move |power| power / sum)
}
