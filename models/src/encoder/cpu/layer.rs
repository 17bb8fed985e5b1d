//! One layer: attention, then feed-forward, each with a residual connection and a norm.

use super::attention::Attention;
use super::blocks::{Columns, Matrix};
use super::linear::{End, Linear, Start};
use super::norm::Norm;
use super::workers::Workers;
use super::workspace::Workspace;
use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

/// Fewest tokens of a step that one thread of several computes.
const TOKENS_MIN: usize = 8;

#[derive(Debug)]
pub(super) struct Layer {
    /// Queries, keys and values in one product; queries with their scale.
    query_key_value: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
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
    ) -> Result<Self, LoadError> {
        let name = format!("encoder.layer.{index}");
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let dense = |part: &str, inputs: usize, outputs: usize| {
            let (weight, bias) = weights.linear(&format!("{name}.{part}"), inputs, outputs)?;
            let outputs = Columns {
                count: outputs,
                width: columns.width,
            };
            Ok(Linear::pack(&weight, &bias, outputs))
        };
        let (weight, bias) = weights.query_key_value(config, &name)?;
        let outputs = Columns {
            count: 3 * hidden,
            width: columns.width,
        };
        Ok(Self {
            query_key_value: Linear::pack(&weight, &bias, outputs),
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

    /// In place in the workspace's `x`. `rows` are the tokens of each row.
    pub(super) fn run(&self, space: &mut Workspace, rows: &[usize], workers: Workers) {
        let Workspace {
            tokens,
            columns,
            x,
            inside,
        } = space;
        let (tokens, columns) = (*tokens, *columns);
        let outputs = self.query_key_value.outputs();
        inside.resize(tokens * outputs.count);
        let qkv = inside.as_mut_slice();
        product(
            &self.query_key_value,
            Matrix::new(x.as_slice(), columns),
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
        product(
            &self.output,
            Matrix::new(queries, columns),
            x,
            Start::Residual,
            End::Store,
            workers,
        );
        self.attention_norm.run(x, columns);

        let inner = self.up.outputs();
        inside.resize(tokens * inner.count);
        product(
            &self.up,
            Matrix::new(x, columns),
            inside.as_mut_slice(),
            Start::Bias,
            End::Gelu,
            workers,
        );
        let activated = Matrix::new(inside.as_slice(), inner);
        product(
            &self.down,
            activated,
            x,
            Start::Residual,
            End::Store,
            workers,
        );
        self.norm.run(x, columns);
    }
}

/// All tokens times all of a weight; `out` is in blocks.
fn product(
    linear: &Linear,
    x: Matrix<'_>,
    out: &mut [f32],
    start: Start,
    end: End,
    workers: Workers,
) {
    let outputs = linear.outputs();
    // Blocks of columns first: each weight is then read by one thread only. Where they are few, also by tokens.
    let parts = workers.count().div_ceil(outputs.blocks());
    let tokens = x.tokens.div_ceil(parts).next_multiple_of(TOKENS_MIN);
    workers.for_each_chunk(out, x.tokens * outputs.width, |block, out| {
        let width = outputs.of(block).len();
        workers.for_each_chunk(out, tokens * width, |part, out| {
            linear.block(block, x, part * tokens, out, start, end);
        });
    });
}
