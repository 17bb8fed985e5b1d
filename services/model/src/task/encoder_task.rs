//! The differences between the tasks that have an encoder.

use std::fmt::Debug;

use motet_models::{Head, Pooling, Values};
use motet_proto::TensorError;
use motet_proto::signature::Signature;

use super::ports::TEXT;
use crate::request::{Inputs, Outputs};

/// A task with an encoder: which texts are its rows, and what its vectors become.
pub(crate) trait EncoderTask: Debug + Send + Sync {
    /// Returns the ports of a model with vectors of `size` values.
    fn signature(&self, size: usize) -> Signature;

    /// Returns what the encoder makes of each row; `own` is what it is by the model's files.
    fn head(&self, settings: OutputSettings, own: &Head) -> Head;

    /// Returns the texts of the encoder's rows.
    fn texts<'i>(&self, inputs: &'i Inputs) -> Vec<&'i str> {
        inputs.texts(TEXT)
    }

    /// Returns the field of the request that holds the text of a row, for errors.
    fn field(&self, row: usize) -> String {
        format!("{TEXT}[{row}]")
    }

    /// Returns whether a call holds a vector for each token until its response is built.
    fn has_token_vectors(&self) -> bool;

    /// Returns the output tensors of a call. `rows` are the encoder's results in the order of
    /// [`texts`](Self::texts); each holds one or several vectors of `size` values.
    ///
    /// # Errors
    /// Values that do not fill the tensor's shape, which would be a defect.
    fn outputs(&self, rows: Vec<Values>, size: usize) -> Result<Outputs, TensorError>;
}

/// Settings of the configuration for the vectors of a model; `None` is what its own files say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutputSettings {
    pub(crate) pooling: Option<Pooling>,
    pub(crate) normalize: Option<bool>,
}
