//! Attention of a layer, up to the product that leads back to the residual.

use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Aligned, Bias, ColumnBlocks, Disentangled, Epilogue, Init, Linear, Matrix, Norm, Parallelism,
};

use super::layer::{Batch, Part};
use super::norm;
use super::weights::Weights;
use crate::architecture::{self, RelativeEmbedding};
use crate::encoder::tables;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys and values, one after the other: in one product where their blocks are equally
    /// wide, else in three.
    projections: Vec<Linear>,
    queries: ColumnBlocks,
    keys: ColumnBlocks,
    head_size: usize,
    /// Norms of queries and of keys.
    head_norms: Option<HeadNorms>,
    /// Number of the model's rotary embedding.
    rotary: Option<usize>,
    /// Vectors of distances.
    relative: Option<Disentangled>,
    scale: f32,
    attention: motet_kernels::Attention,
    output: Linear,
}

/// Norms of queries and of keys.
#[derive(Debug)]
struct HeadNorms {
    query: Norm,
    key: Norm,
    /// `true` if a norm is of each head, `false` if it is of all together.
    of_each: bool,
}

impl HeadNorms {
    fn load(
        weights: Weights<'_>,
        norms: &architecture::HeadNorms,
        head_size: usize,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            query: norm::load(weights.checkpoint, &norms.query)?,
            key: norm::load(weights.checkpoint, &norms.key)?,
            of_each: norms.query.scale.len() == head_size,
        })
    }

    /// Normalizes queries and keys, each in its columns; `statistics` is scratch memory.
    fn run(
        &self,
        [(q, queries), (k, keys)]: [(&mut [f32], ColumnBlocks); 2],
        statistics: &mut Aligned<f32>,
        parallelism: Parallelism,
    ) {
        for (norm, values, columns) in [(&self.query, q, queries), (&self.key, k, keys)] {
            if self.of_each {
                norm.run_heads(values, columns, parallelism);
            } else {
                norm.run(values, columns, statistics, parallelism);
            }
        }
    }
}

impl Attention {
    /// `columns` are those of the model's vectors, `rotary` is the number of the rotary embedding,
    /// `relative` the vectors of distances and the maximum number of tokens of a row.
    pub(super) fn load(
        weights: Weights<'_>,
        attention: &architecture::Attention,
        columns: ColumnBlocks,
        rotary: Option<usize>,
        relative: Option<(&RelativeEmbedding, usize)>,
    ) -> Result<Self, LoadError> {
        let head_size = attention.head_size;
        let keys = ColumnBlocks::new(attention.kv_heads * head_size, head_size);
        let query_columns = attention.heads * head_size;
        let linears = [&attention.query, &attention.key, &attention.value];
        let even = |columns: usize| columns.is_multiple_of(keys.width);
        let (queries, projections) = if even(query_columns) && even(keys.count) {
            let blocks = |count| ColumnBlocks { count, ..keys };
            let outputs = blocks(query_columns + 2 * keys.count);
            let one = weights.pack(&linears, columns, outputs)?;
            (blocks(query_columns), vec![one])
        } else {
            let queries = ColumnBlocks::new(query_columns, head_size);
            let outputs = [queries, keys, keys].into_iter();
            let three = linears
                .iter()
                .zip(outputs)
                .map(|(linear, outputs)| weights.pack(&[linear], columns, outputs))
                .collect::<Result<_, _>>()?;
            (queries, three)
        };
        let head_norms = attention.head_norms.as_ref();
        let head_norms = head_norms.map(|norms| HeadNorms::load(weights, norms, head_size));
        let products = attention.relative.as_ref().zip(relative);
        let relative = products.map(|(products, (relative, reach))| {
            let make = |linear: &Option<architecture::Linear>| {
                let linear = linear.as_ref();
                linear
                    .map(|linear| tables::relative(weights.checkpoint, relative, linear))
                    .transpose()
            };
            let (keys, queries) = (make(&products.key)?, make(&products.query)?);
            let (keys, queries) = (keys.as_deref(), queries.as_deref());
            let (heads, distances) = (attention.heads, relative.distances);
            let made = Disentangled::new(heads, head_size, keys, queries, distances, reach);
            Ok::<_, LoadError>(made)
        });
        Ok(Self {
            projections,
            queries,
            keys,
            head_size,
            head_norms: head_norms.transpose()?,
            rotary,
            relative: relative.transpose()?,
            scale: attention.scale,
            attention: motet_kernels::Attention::new(queries, keys, head_size)
                .with_scale(attention.scale)
                .with_mask(attention.mask),
            output: weights.pack(&[&attention.output], queries, columns)?,
        })
    }
}

impl Part for Attention {
    fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.projections.iter_mut().chain([&mut self.output])
    }

    fn back(&self) -> &Linear {
        &self.output
    }

    fn inner<'m>(
        &self,
        x: Matrix<'_>,
        intermediate: &'m mut Aligned<f32>,
        scores: &mut Aligned<f32>,
        quantized_lhs: &mut QuantizedActivations,
        batch: &Batch<'_>,
        parallelism: Parallelism,
    ) -> Matrix<'m> {
        let (queries, keys) = (self.queries, self.keys);
        intermediate.resize(x.tokens * (queries.count + 2 * keys.count));
        let mut rest = intermediate.as_mut_slice();
        for projection in &self.projections {
            let out;
            (out, rest) = rest.split_at_mut(x.tokens * projection.outputs().count);
            let (init, epilogue) = (Init::Bias, Epilogue::Store);
            projection.product(x, quantized_lhs, out, init, epilogue, parallelism);
        }
        let all = intermediate.as_mut_slice();
        let (q, keys_values) = all.split_at_mut(x.tokens * queries.count);
        let (k, v) = keys_values.split_at_mut(x.tokens * keys.count);
        if let Some(norms) = &self.head_norms {
            norms.run([(&mut *q, queries), (&mut *k, keys)], scores, parallelism);
        }
        if let Some(rotary) = self.rotary.map(|number| &batch.rotaries[number]) {
            for (values, columns) in [(&mut *q, queries), (&mut *k, keys)] {
                rotary.run(
                    values,
                    columns,
                    self.head_size,
                    batch.rows.tokens,
                    parallelism,
                );
            }
        }
        let mut bias = batch.bias;
        if let Some(relative) = &self.relative {
            let heads = queries.count / self.head_size;
            let rows = batch.rows.tokens;
            scores.resize(heads * rows.iter().map(|len| len * len).sum::<usize>());
            let (q, k) = (Matrix::new(q, queries), Matrix::new(k, keys));
            let scores = scores.as_mut_slice();
            relative.scores(q, k, rows, self.scale, scores, parallelism);
            bias = Some(Bias::Scores(scores));
        }
        let rows = batch.rows;
        self.attention.run(q, k, v, rows, bias, parallelism);
        Matrix::new(q, queries)
    }
}
