//! Where the check learns what a model takes and gives.

use std::sync::Arc;

use motet_proto::signature::Signature;

/// Knows the models of a configuration.
pub trait SignatureSource {
    /// The signature of the model `name`.
    ///
    /// # Errors
    /// There is no such model, or its signature cannot be had now.
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError>;
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The configuration has no such model.
    #[error("no model has this name")]
    Unknown {
        /// The names that there are.
        known: Vec<String>,
    },
    /// The model is there, but cannot be asked.
    #[error("{reason}")]
    Unavailable {
        /// Why, as a sentence without a full stop.
        reason: String,
    },
}
