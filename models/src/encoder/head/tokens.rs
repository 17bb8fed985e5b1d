//! The head that gives a vector for each token.

use crate::architecture::{Head, HeadActivation, HeadModule, Linear, Scope, TensorRef};
use crate::checkpoint::Checkpoint;
use crate::config::Projection;
use crate::error::LoadError;
use crate::source::ModelFiles;

impl ModelFiles {
    /// Returns the head that gives a vector for each token: the projection that the model's files
    /// have for it (ColBERT), else the encoder's vectors as they are, of length 1 where those of
    /// texts are.
    ///
    /// # Errors
    /// Weights that cannot be read or lack the projection, and one of another size than the files
    /// say.
    pub fn token_head(&self) -> Result<Head, LoadError> {
        let config = self.config();
        let Some(token_vectors) = &config.token_vectors else {
            return Ok(Head::tokens().normalized(config.head.is_normalized()));
        };
        let Projection::Weights { size } = token_vectors.projection else {
            return Ok(config.head.clone());
        };
        let checkpoint = Checkpoint::open(self)?;
        let hidden = config.hidden_size();
        let linear = |outputs| Linear::new("linear", hidden, outputs).in_scope(Scope::Model);
        let stored = checkpoint.shape(&linear(1).weight);
        let outputs = stored.and_then(|shape| shape.first().copied());
        let outputs = outputs.or(size).unwrap_or(hidden);
        if let Some(size) = size.filter(|size| *size != outputs) {
            return Err(LoadError::Unsupported {
                model: self.source().clone(),
                file: "artifact.metadata".to_owned(),
                reason: format!(
                    "dim is {size}, but the projection (linear.weight) has {outputs} outputs"
                ),
            });
        }
        let linear = linear(outputs);
        let has_bias = |bias: &TensorRef| checkpoint.shape(bias).is_some();
        let linear = match linear.bias.as_ref().is_some_and(has_bias) {
            true => linear,
            false => linear.without_bias(),
        };
        let activation = HeadActivation::Identity;
        let projected = Head::tokens().then(HeadModule::Dense { linear, activation });
        Ok(projected.normalized(true))
    }
}
