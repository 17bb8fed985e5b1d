//! One layer: attention, then feed-forward, each with a residual connection and a norm.

use motet_kernels::{
    Activation, Arithmetic, Attention, ColumnBlocks, Epilogue, Init, Linear, Matrix, Norm,
    Parallelism, RelativeBias, Relocatable, Scratch,
};

use super::norm;
use super::stored_rows::StoredRows;
use crate::architecture::{self, FeedForward, Norms};
use crate::checkpoint::Checkpoint;
use crate::device::Precision;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Layer {
    /// Queries, keys and values in one product.
    query_key_value: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
    attention: Attention,
}

impl Layer {
    /// `columns` are those of the model's vectors.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        layer: &architecture::Layer,
        columns: ColumnBlocks,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        let attention = &layer.attention;
        let FeedForward::Plain {
            up,
            activation: architecture::Activation::Gelu,
            down,
        } = &layer.feed_forward;
        let Norms::Post {
            attention: attention_norm,
            feed_forward: norm,
        } = &layer.norms;
        let queries_keys_values = ColumnBlocks {
            count: 3 * columns.count,
            width: columns.width,
        };
        let inner = ColumnBlocks::new(up.outputs(), 1);
        let arithmetic = match precision {
            Precision::Int8 => Arithmetic::Int8,
            _ => Arithmetic::F32,
        };
        // Several products of the same vectors are one, with their outputs one after the other.
        let pack = |linears: &[&architecture::Linear], inputs, outputs| {
            let weights: Vec<_> = linears.iter().map(|linear| &linear.weight).collect();
            let weight = StoredRows {
                checkpoint,
                tensors: &weights,
            };
            let bias = checkpoint.biases(linears)?;
            Linear::pack(&weight, bias.as_deref(), inputs, outputs, arithmetic)
        };
        let projections = [&attention.query, &attention.key, &attention.value];
        Ok(Self {
            query_key_value: pack(&projections, columns, queries_keys_values)?,
            output: pack(&[&attention.output], columns, columns)?,
            attention_norm: norm::load(checkpoint, attention_norm)?,
            up: pack(&[up], columns, inner)?,
            down: pack(&[down], inner, columns)?,
            norm: norm::load(checkpoint, norm)?,
            attention: Attention::new(columns, columns, attention.head_size),
        })
    }

    /// Returns the weights, in the order in which they are read, to be moved.
    pub(super) fn relocatable(&mut self) -> impl Iterator<Item = &mut dyn Relocatable> {
        let Self {
            query_key_value,
            output,
            up,
            down,
            ..
        } = self;
        let all = [query_key_value, output, up, down];
        all.into_iter().filter_map(Linear::relocatable)
    }

    /// Computes the layer in place, in the scratch memory's `x`. `rows` are the numbers of tokens
    /// of the rows, `bias` is added to the scores of attention.
    pub(super) fn run(
        &self,
        scratch: &mut Scratch,
        rows: &[usize],
        bias: Option<&RelativeBias>,
        parallelism: Parallelism,
    ) {
        let Scratch {
            tokens,
            columns,
            x,
            intermediate,
            quantized_lhs,
            statistics,
        } = scratch;
        let (tokens, columns) = (*tokens, *columns);
        let outputs = self.query_key_value.outputs();
        intermediate.resize(tokens * outputs.count);
        let qkv = intermediate.as_mut_slice();
        self.query_key_value.product(
            Matrix::new(x.as_slice(), columns),
            quantized_lhs,
            qkv,
            Init::Bias,
            Epilogue::Store,
            parallelism,
        );
        let (queries, keys_values) = qkv.split_at_mut(tokens * columns.count);
        let (keys, values) = keys_values.split_at(tokens * columns.count);
        self.attention
            .run(queries, keys, values, rows, bias, parallelism);
        let x = x.as_mut_slice();
        self.output.product(
            Matrix::new(queries, columns),
            quantized_lhs,
            x,
            Init::Residual,
            Epilogue::Store,
            parallelism,
        );
        self.attention_norm.run(x, columns, statistics, parallelism);

        let inner = self.up.outputs();
        intermediate.resize(tokens * inner.count);
        self.up.product(
            Matrix::new(x, columns),
            quantized_lhs,
            intermediate.as_mut_slice(),
            Init::Bias,
            Epilogue::Activate(Activation::Gelu),
            parallelism,
        );
        let activated = Matrix::new(intermediate.as_slice(), inner);
        self.down.product(
            activated,
            quantized_lhs,
            x,
            Init::Residual,
            Epilogue::Store,
            parallelism,
        );
        self.norm.run(x, columns, statistics, parallelism);
    }
}
