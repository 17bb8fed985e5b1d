//! One layer: attention, then feed-forward, each with a residual connection and norms.

use std::sync::Arc;

use motet_kernels::elementwise;
use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Aligned, Bias, ColumnBlocks, Epilogue, Init, Linear, Matrix, Norm, Parallelism, Relocatable,
    Rotary, Rows, Scratch,
};

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::norm;
use super::weights::Weights;
use crate::architecture::{self, RelativeEmbedding};
use crate::error::LoadError;
use crate::thread_team::Pauses;

#[derive(Debug)]
pub(super) struct Layer {
    attention: Attention,
    attention_norms: Norms,
    feed_forward: FeedForward,
    feed_forward_norms: Norms,
}

/// Norms of a part of a layer.
#[derive(Debug)]
enum Norms {
    /// `x = norm(x + part(x))`
    Post(Norm),
    /// `x = second(x + first(x + part(x)))`
    PostTwice { first: Norm, second: Norm },
    /// `x = x + part(norm(x))`
    Pre(Option<Norm>),
    /// `x = x + after(part(before(x)))`
    Sandwich { before: Norm, after: Norm },
}

/// Values with which all layers compute a batch.
pub(super) struct Batch<'a> {
    /// Numbers of tokens of the rows.
    pub(super) rows: Rows<'a>,
    /// Added to the scores of attention.
    pub(super) bias: Option<Bias<'a>>,
    /// The rotary embeddings of the model, by number.
    pub(super) rotaries: &'a [Arc<Rotary>],
    /// Pauses between steps.
    pub(super) pauses: Option<&'a dyn Pauses>,
}

impl Batch<'_> {
    /// Pauses if that is due.
    pub(super) fn pause(&self, parallelism: Parallelism) {
        let Some(pauses) = self.pauses.filter(|pauses| pauses.is_due()) else {
            return;
        };
        parallelism.without_spinning_helpers(|| pauses.pause());
    }
}

/// Attention or feed-forward: products and what is between, then one that leads back to the
/// residual.
pub(super) trait Part {
    /// Returns all products, in the order in which they are computed.
    fn linears(&mut self) -> impl Iterator<Item = &mut Linear>;

    /// Returns the last product.
    fn back(&self) -> &Linear;

    /// Computes all that is before the last product, of the vectors `x`, in `intermediate`;
    /// `scores` is scratch memory.
    fn inner<'m>(
        &self,
        x: Matrix<'_>,
        intermediate: &'m mut Aligned<f32>,
        scores: &mut Aligned<f32>,
        quantized_lhs: &mut QuantizedActivations,
        batch: &Batch<'_>,
        parallelism: Parallelism,
    ) -> Matrix<'m>;
}

impl Layer {
    /// `columns` are those of the model's vectors, `rotary` is the number of attention's rotary
    /// embedding, `relative` the vectors of distances and the maximum number of tokens of a row.
    pub(super) fn load(
        weights: Weights<'_>,
        layer: &architecture::Layer,
        columns: ColumnBlocks,
        rotary: Option<usize>,
        relative: Option<(&RelativeEmbedding, usize)>,
    ) -> Result<Self, LoadError> {
        let load = |norm: &_| norm::load(weights.checkpoint, norm);
        let (attention_norms, feed_forward_norms) = match &layer.norms {
            architecture::Norms::Post {
                attention,
                feed_forward,
            } => (
                Norms::Post(load(attention)?),
                Norms::Post(load(feed_forward)?),
            ),
            architecture::Norms::PostTwice {
                attention,
                feed_forward,
            } => {
                let (first, second) = (load(&attention[0])?, load(&attention[1])?);
                let attention = Norms::PostTwice { first, second };
                (attention, Norms::Post(load(feed_forward)?))
            }
            architecture::Norms::Pre {
                attention,
                feed_forward,
            } => (
                Norms::Pre(attention.as_ref().map(load).transpose()?),
                Norms::Pre(Some(load(feed_forward)?)),
            ),
            architecture::Norms::Sandwich {
                attention,
                feed_forward,
            } => {
                let sandwich = |[before, after]: &[architecture::Norm; 2]| {
                    let (before, after) = (load(before)?, load(after)?);
                    Ok::<_, LoadError>(Norms::Sandwich { before, after })
                };
                (sandwich(attention)?, sandwich(feed_forward)?)
            }
        };
        Ok(Self {
            attention: Attention::load(weights, &layer.attention, columns, rotary, relative)?,
            attention_norms,
            feed_forward: FeedForward::load(weights, &layer.feed_forward, columns)?,
            feed_forward_norms,
        })
    }

    /// Returns the weights, in the order in which they are read, to be moved.
    pub(super) fn relocatable(&mut self) -> impl Iterator<Item = &mut dyn Relocatable> {
        let all = self.attention.linears().chain(self.feed_forward.linears());
        all.filter_map(Linear::relocatable)
    }

    /// Computes the layer in place, in the scratch memory's `x`.
    pub(super) fn run(&self, scratch: &mut Scratch, batch: &Batch<'_>, parallelism: Parallelism) {
        run(
            &self.attention,
            &self.attention_norms,
            scratch,
            batch,
            parallelism,
        );
        run(
            &self.feed_forward,
            &self.feed_forward_norms,
            scratch,
            batch,
            parallelism,
        );
    }
}

/// Computes a part of a layer in place, in the scratch memory's `x`.
fn run<P: Part>(
    part: &P,
    norms: &Norms,
    scratch: &mut Scratch,
    batch: &Batch<'_>,
    parallelism: Parallelism,
) {
    let Scratch {
        columns,
        x,
        normed,
        intermediate,
        scores,
        quantized_lhs,
        statistics,
        ..
    } = scratch;
    let (columns, x) = (*columns, x.as_mut_slice());
    let before = match norms {
        Norms::Post(_) | Norms::PostTwice { .. } | Norms::Pre(None) => None,
        Norms::Pre(Some(before)) | Norms::Sandwich { before, .. } => Some(before),
    };
    let entering: &[f32] = match before {
        None => x,
        Some(norm) => {
            normed.resize(x.len());
            let normed = normed.as_mut_slice();
            norm.run_into(Matrix::new(x, columns), normed, statistics, parallelism);
            normed
        }
    };
    let entering = Matrix::new(entering, columns);
    batch.pause(parallelism);
    let inner = part.inner(
        entering,
        intermediate,
        scores,
        quantized_lhs,
        batch,
        parallelism,
    );
    batch.pause(parallelism);
    let mut back = |out: &mut [f32], init| {
        let epilogue = Epilogue::Store;
        let back = part.back();
        back.product(inner, quantized_lhs, out, init, epilogue, parallelism);
    };
    match norms {
        Norms::Post(norm) => {
            back(x, Init::Residual);
            norm.run(x, columns, statistics, parallelism);
        }
        Norms::PostTwice { first, second } => {
            normed.resize(x.len());
            let sum = normed.as_mut_slice();
            sum.copy_from_slice(x);
            back(sum, Init::Residual);
            first.run(sum, columns, statistics, parallelism);
            elementwise::add(x, sum, parallelism);
            second.run(x, columns, statistics, parallelism);
        }
        Norms::Pre(_) => back(x, Init::Residual),
        Norms::Sandwich { after, .. } => {
            let result = normed.as_mut_slice();
            back(result, Init::Bias);
            after.run(result, columns, statistics, parallelism);
            elementwise::add(x, result, parallelism);
        }
    }
}
