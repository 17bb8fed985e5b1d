//! One layer: attention, then feed-forward, each with a residual connection and a norm.

use super::attention::Attention;
use super::blocks::{Columns, Matrix};
use super::dense::Dense;
use super::kept::Keep;
use super::norm::Norm;
use super::place::{End, Start};
use super::workers::Workers;
use super::workspace::Workspace;
use crate::config::BertConfig;
use crate::device::Precision;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Layer {
    /// Queries, keys and values in one product.
    query_key_value: Dense,
    output: Dense,
    attention_norm: Norm,
    up: Dense,
    down: Dense,
    norm: Norm,
    head_size: usize,
}

impl Layer {
    /// `columns` are those of the model's vectors.
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        columns: Columns,
        index: usize,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        let name = format!("encoder.layer.{index}");
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let cut = |count: usize| Columns {
            count,
            width: columns.width,
        };
        let pack = |weight: &[f32], bias: &[f32], inputs: usize, outputs: usize| {
            Dense::pack(weight, bias, cut(inputs), cut(outputs), precision)
        };
        let dense = |part: &str, inputs: usize, outputs: usize| {
            let (weight, bias) = weights.linear(&format!("{name}.{part}"), inputs, outputs)?;
            Ok(pack(&weight, &bias, inputs, outputs))
        };
        let (weight, bias) = weights.query_key_value(config, &name)?;
        Ok(Self {
            query_key_value: pack(&weight, &bias, hidden, 3 * hidden),
            output: dense("attention.output.dense", hidden, hidden)?,
            attention_norm: Norm::load(
                weights,
                config,
                &format!("{name}.attention.output.LayerNorm"),
            )?,
            up: dense("intermediate.dense", hidden, inner)?,
            down: dense("output.dense", inner, hidden)?,
            norm: Norm::load(weights, config, &format!("{name}.output.LayerNorm"))?,
            head_size: config.head_size(),
        })
    }

    /// Returns the weights, in the order in which they are read, to be moved.
    pub(super) fn kept(&mut self) -> impl Iterator<Item = &mut dyn Keep> {
        let Self {
            query_key_value,
            output,
            up,
            down,
            ..
        } = self;
        let all = [query_key_value, output, up, down];
        all.into_iter().filter_map(Dense::kept)
    }

    /// In place in the workspace's `x`. `rows` are the tokens of each row.
    pub(super) fn run(&self, space: &mut Workspace, rows: &[usize], workers: Workers) {
        let Workspace {
            tokens,
            columns,
            x,
            inside,
            left,
        } = space;
        let (tokens, columns) = (*tokens, *columns);
        let outputs = self.query_key_value.outputs();
        inside.resize(tokens * outputs.count);
        let qkv = inside.as_mut_slice();
        self.query_key_value.product(
            Matrix::new(x.as_slice(), columns),
            left,
            qkv,
            Start::Bias,
            End::Store,
            workers,
        );
        let (queries, keys_values) = qkv.split_at_mut(tokens * columns.count);
        let (keys, values) = keys_values.split_at(tokens * columns.count);
        workers.for_each_chunk(queries, tokens * columns.width, |block, queries| {
            let place = columns.place(block, tokens);
            let (mut keys, mut values, mut queries) =
                (&keys[place.clone()], &values[place], queries);
            for row in rows {
                let len = row * columns.width;
                let parts = (
                    queries.split_off_mut(..len),
                    keys.split_off(..len),
                    values.split_off(..len),
                );
                if let (Some(queries), Some(keys), Some(values)) = parts {
                    let (width, head_size) = (columns.width, self.head_size);
                    Attention {
                        queries,
                        keys,
                        values,
                        width,
                        head_size,
                    }
                    .run();
                }
            }
        });
        let x = x.as_mut_slice();
        self.output.product(
            Matrix::new(queries, columns),
            left,
            x,
            Start::Residual,
            End::Store,
            workers,
        );
        self.attention_norm.run(x, columns);

        let inner = self.up.outputs();
        inside.resize(tokens * inner.count);
        self.up.product(
            Matrix::new(x, columns),
            left,
            inside.as_mut_slice(),
            Start::Bias,
            End::Gelu,
            workers,
        );
        let activated = Matrix::new(inside.as_slice(), inner);
        self.down
            .product(activated, left, x, Start::Residual, End::Store, workers);
        self.norm.run(x, columns);
    }
}
