//! `model`: the client of the model.

use super::check::Checked;
use crate::check::Node;
use crate::model::{Backend, ModelClient};
use crate::plan::{BindError, BindKind, Binder, BoundKind};

/// A call of a model.
#[derive(Debug)]
pub struct Bound {
    /// The model as this node calls it.
    pub client: Box<ModelClient>,
}

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, node: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        let backend = binder.bind.model(&self.model);
        let backend = backend.ok_or_else(|| binder.missing(node, "model", &self.model))?;
        let client = ModelClient::new(backend, binder.pipeline, node, binder.metrics);
        Ok(Bound {
            client: Box::new(client),
        })
    }
}

impl BoundKind for Bound {
    fn backend(&self) -> Option<&Backend> {
        Some(self.client.backend())
    }
}
