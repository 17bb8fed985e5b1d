//! From the last layer's token vectors to what a row gives back.
//!
//! A head's products are small, so they are computed on the CPU whatever device computes the
//! layers, in f32, and row by row: a row's result does not depend on its neighbours.
//!
//! * `attend`: attention of one query to all tokens.
//! * `sparse`: token vectors to one sparse vector.
//! * `of_model`: the heads of token vectors and of sparse vectors that a model has.
//! * `dropped`: refuses weights with a head that would not be computed.

mod attend;
mod dropped;
mod of_model;
mod sparse;

use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Activation, Aligned, Arithmetic, ColumnBlocks, Epilogue, Init, Linear, Matrix, Norm,
    Parallelism,
};

use attend::Attend;

use super::RowInput;
use super::cpu::{norm, readout, stored_rows::StoredRows};
use crate::architecture::{self, Head, HeadActivation, HeadModule, Readout, SparsePooling};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;
use crate::source::ModelFiles;
use crate::values::{Values, scale_to_unit};

/// A [`Head`] with its weights, ready to compute. Share it by [`std::sync::Arc`].
#[derive(Debug)]
pub struct LoadedHead {
    readout: Readout,
    /// Values of a vector that enters the modules.
    size: usize,
    modules: Vec<Module>,
    /// `true` for the vectors of all tokens, also of those that rows drop.
    reads_dropped: bool,
}

/// A step on each vector.
#[derive(Debug)]
enum Module {
    Dense(Dense),
    /// A product to which what enters it is added, or a product of that.
    Residual(Dense, Option<Dense>),
    /// A product less another.
    Difference(Dense, Dense),
    Norm(Norm, ColumnBlocks),
    UnitLength,
    TokenMean,
    Attend(Box<Attend>),
    FeedForward(Box<FeedForward>),
    Sparse(SparsePooling),
    TokenWeights(Vec<u32>),
}

/// A feed-forward part.
#[derive(Debug)]
struct FeedForward {
    norm: Norm,
    up: Dense,
    activation: Activation,
    down: Dense,
}

/// A product and the function after it. Vectors lie in one block of columns: row-major.
#[derive(Debug)]
struct Dense {
    inputs: ColumnBlocks,
    linear: Linear,
    activation: HeadActivation,
}

impl LoadedHead {
    /// Reads a head's weights from those of its model.
    ///
    /// # Errors
    /// A weights file that is corrupt, lacks a tensor or has one of another shape; a head among the
    /// weights that this one is not, and that would be dropped.
    pub fn load(files: &ModelFiles, head: &Head) -> Result<Self, LoadError> {
        let checkpoint = Checkpoint::for_head(files, head)?;
        check(files, &checkpoint, head)?;
        let hidden = files.config().hidden_size();
        let modules = head.modules.iter();
        let modules = modules.map(|module| Module::load(&checkpoint, module));
        Ok(Self {
            size: head.readout.size(hidden),
            readout: head.readout.clone(),
            modules: modules.collect::<Result<_, _>>()?,
            reads_dropped: false,
        })
    }

    /// Returns the head that gives the vector of each token as it is, of so many values. It has no
    /// weights.
    pub fn of_tokens(size: usize) -> Self {
        Self {
            readout: Readout::EveryToken,
            size,
            modules: Vec::new(),
            reads_dropped: true,
        }
    }

    /// Returns whether the head costs next to nothing beside the layers. Products with a whole
    /// vocabulary do not.
    pub fn is_cheap(&self) -> bool {
        !matches!(self.modules.last(), Some(Module::Sparse(_)))
    }

    /// Returns what the head makes of a row whose token vectors are known: the results of
    /// [`of_tokens`](Self::of_tokens) for the same row and model. Where a CPU computes the layers,
    /// it is the same bits as with them.
    ///
    /// # Panics
    /// If the vectors are of another size than the model's, or fewer than the row has tokens.
    pub fn of_token_vectors(&self, vectors: &Values, row: RowInput<'_>) -> Values {
        if row.len() == 0 {
            return self.of_nothing();
        }
        let hidden = Matrix::new(vectors.as_slice(), one_block(vectors.columns()));
        readout::of_row(self, hidden, 0, row, Parallelism::WithinThread)
    }

    /// Returns what the head makes of a row without tokens: of a vector of zeros, or of none where
    /// each token gives one.
    pub(super) fn of_nothing(&self) -> Values {
        let vectors = match self.readout {
            Readout::Pooled(_) => vec![0.0; self.size],
            Readout::EveryToken | Readout::AfterFirst => Vec::new(),
        };
        self.apply(vectors, RowInput::new(&[]))
    }

    /// Returns the places of a row's tokens that give a vector where each token gives one.
    pub(super) fn tokens_read<'r>(&self, row: RowInput<'r>) -> impl Iterator<Item = usize> + 'r {
        let dropped = if self.reads_dropped { &[] } else { row.dropped };
        let mut dropped = dropped.iter().peekable();
        let is_kept = move |at: &usize| dropped.next_if(|it| **it as usize == *at).is_none();
        let first = usize::from(self.readout == Readout::AfterFirst);
        (0..row.len())
            .filter(is_kept)
            .skip_while(move |at| *at < first)
    }

    /// Returns which vectors are made of the token vectors.
    pub(super) fn readout(&self) -> &Readout {
        &self.readout
    }

    /// Computes the modules on vectors that were read out of a row, one after another.
    pub(super) fn apply(&self, values: Vec<f32>, row: RowInput<'_>) -> Values {
        let (pooling, modules) = match self.modules.split_last() {
            Some((Module::Sparse(pooling), modules)) => (pooling, modules),
            Some((Module::TokenWeights(skipped), modules)) => {
                let (values, _) = run(modules, values, self.size);
                let ids = self.tokens_read(row).map(|at| row.ids()[at]);
                return Values::new(sparse::of_tokens(ids.zip(values), skipped), 2);
            }
            _ => {
                let (values, size) = run(&self.modules, values, self.size);
                return Values::new(values, size);
            }
        };
        // A few tokens at a time: their vectors are as long as the vocabulary.
        let mut sums = sparse::Sums::new(*pooling);
        for values in values.chunks(SPARSE_TOKENS * self.size) {
            let (values, size) = run(modules, values.to_vec(), self.size);
            values.chunks_exact(size).for_each(|token| sums.add(token));
        }
        Values::new(sums.finish(), 2)
    }
}

/// Tokens whose vectors over the vocabulary are in memory at once.
const SPARSE_TOKENS: usize = 32;

/// Computes modules on vectors of `size` values; returns the results, and their size.
fn run(modules: &[Module], mut values: Vec<f32>, mut size: usize) -> (Vec<f32>, usize) {
    for module in modules {
        match module {
            Module::Dense(dense) => {
                values = dense.run(&values);
                size = dense.linear.outputs().count;
            }
            Module::Residual(dense, skip) => {
                let added = match skip {
                    Some(skip) => skip.run(&values),
                    None => values.clone(),
                };
                values = dense.run(&values);
                values.iter_mut().zip(added).for_each(|(x, add)| *x += add);
                size = dense.linear.outputs().count;
            }
            Module::Difference(dense, subtracted) => {
                let less = subtracted.run(&values);
                values = dense.run(&values);
                values.iter_mut().zip(less).for_each(|(x, less)| *x -= less);
                size = dense.linear.outputs().count;
            }
            Module::Norm(norm, columns) => {
                let mut scratch = Aligned::default();
                norm.run(
                    &mut values,
                    *columns,
                    &mut scratch,
                    Parallelism::WithinThread,
                );
            }
            Module::UnitLength => values.chunks_exact_mut(size).for_each(scale_to_unit),
            Module::TokenMean => values = mean(&values, size),
            Module::Attend(attend) => {
                values = attend.run(&values);
                size = attend.outputs();
            }
            Module::FeedForward(part) => part.add_to(&mut values),
            // Only the last module is one, which is not among these.
            Module::Sparse(_) | Module::TokenWeights(_) => {}
        }
    }
    (values, size)
}

/// Returns the mean of vectors of `size` values, of which there is one at least.
fn mean(values: &[f32], size: usize) -> Vec<f32> {
    let mut mean = vec![0.0; size];
    for vector in values.chunks_exact(size) {
        mean.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    let count = (values.len() / size) as f32;
    mean.iter_mut().for_each(|x| *x /= count);
    mean
}

impl ModelFiles {
    /// Checks by the headers of the weights that a head can be loaded, and the encoder with it.
    ///
    /// # Errors
    /// As [`LoadedHead::load`].
    pub fn check(&self, head: &Head) -> Result<(), LoadError> {
        check(self, &Checkpoint::for_head(self, head)?, head)
    }
}

fn check(files: &ModelFiles, checkpoint: &Checkpoint, head: &Head) -> Result<(), LoadError> {
    let tensors = head.tensors();
    tensors
        .iter()
        .try_for_each(|tensor| checkpoint.check(tensor))?;
    dropped::refuse(files.source(), checkpoint, files.config(), &tensors)
}

impl Module {
    fn load(checkpoint: &Checkpoint, module: &HeadModule) -> Result<Self, LoadError> {
        Ok(match module {
            HeadModule::Dense { linear, activation } => {
                Self::Dense(Dense::load(checkpoint, linear, *activation)?)
            }
            HeadModule::Residual {
                linear,
                activation,
                skip,
            } => {
                let skip = skip.as_ref();
                let skip = skip.map(|skip| Dense::load(checkpoint, skip, HeadActivation::Identity));
                let dense = Dense::load(checkpoint, linear, *activation)?;
                Self::Residual(dense, skip.transpose()?)
            }
            HeadModule::Difference { linear, subtracted } => {
                let load = |linear| Dense::load(checkpoint, linear, HeadActivation::Identity);
                Self::Difference(load(linear)?, load(subtracted)?)
            }
            HeadModule::Norm(norm) => {
                let columns = one_block(norm.scale.len());
                Self::Norm(norm::load(checkpoint, norm)?, columns)
            }
            HeadModule::UnitLength => Self::UnitLength,
            HeadModule::TokenMean => Self::TokenMean,
            HeadModule::Attend(pooling) => {
                Self::Attend(Box::new(Attend::load(checkpoint, pooling)?))
            }
            HeadModule::FeedForward(part) => {
                let dense = |linear| Dense::load(checkpoint, linear, HeadActivation::Identity);
                Self::FeedForward(Box::new(FeedForward {
                    norm: norm::load(checkpoint, &part.norm)?,
                    up: dense(&part.up)?,
                    activation: part.activation,
                    down: dense(&part.down)?,
                }))
            }
            HeadModule::Sparse(pooling) => Self::Sparse(*pooling),
            HeadModule::TokenWeights { skipped } => Self::TokenWeights(skipped.clone()),
        })
    }
}

impl Dense {
    fn load(
        checkpoint: &Checkpoint,
        linear: &architecture::Linear,
        activation: HeadActivation,
    ) -> Result<Self, LoadError> {
        let (inputs, outputs) = (one_block(linear.inputs()), one_block(linear.outputs()));
        let weight = StoredRows {
            checkpoint,
            tensors: &[&linear.weight],
        };
        let bias = checkpoint.biases(&[linear])?;
        let bias = bias.as_deref();
        Ok(Self {
            inputs,
            linear: Linear::pack(&weight, bias, inputs, outputs, Arithmetic::F32)?,
            activation,
        })
    }

    /// Returns the product alone, without the function after it.
    fn product(&self, values: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
        let x = Matrix::new(values, self.inputs);
        let mut out = vec![0.0; x.tokens * self.linear.outputs().count];
        self.linear.product(
            x,
            &mut QuantizedActivations::default(),
            &mut out,
            Init::Bias,
            epilogue,
            Parallelism::WithinThread,
        );
        out
    }

    fn run(&self, values: &[f32]) -> Vec<f32> {
        let epilogue = match self.activation {
            HeadActivation::Identity
            | HeadActivation::Tanh
            | HeadActivation::Sigmoid
            | HeadActivation::Silu => Epilogue::Store,
            HeadActivation::Relu => Epilogue::Activate(Activation::Relu),
            HeadActivation::Gelu => Epilogue::Activate(Activation::Gelu),
        };
        let mut out = self.product(values, epilogue);
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self.activation {
            HeadActivation::Identity | HeadActivation::Relu | HeadActivation::Gelu => {}
            HeadActivation::Tanh => out.iter_mut().for_each(|x| *x = x.tanh()),
            HeadActivation::Sigmoid => out.iter_mut().for_each(|x| *x = sigmoid(*x)),
            HeadActivation::Silu => out.iter_mut().for_each(|x| *x *= sigmoid(*x)),
        }
        out
    }
}

impl FeedForward {
    /// Adds the part's result to each of the vectors that enter it.
    fn add_to(&self, values: &mut [f32]) {
        let mut normed = values.to_vec();
        self.norm.run(
            &mut normed,
            self.up.inputs,
            &mut Aligned::default(),
            Parallelism::WithinThread,
        );
        let inner = self
            .up
            .product(&normed, Epilogue::Activate(self.activation));
        let added = self.down.run(&inner);
        values.iter_mut().zip(added).for_each(|(x, add)| *x += add);
    }
}

/// Returns all columns as one block, so that the vectors of a matrix lie one after another.
fn one_block(count: usize) -> ColumnBlocks {
    ColumnBlocks {
        count,
        width: count,
    }
}
