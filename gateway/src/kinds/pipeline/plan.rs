//! `pipeline`: the plan of the called pipeline.

use std::sync::Arc;

use super::check::Checked;
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundKind, Plan};

/// A call of another pipeline.
#[derive(Debug)]
pub struct Bound {
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// For each of the node's arguments, the index of the pipeline's input that it is for.
    pub inputs: Vec<usize>,
}

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, node: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        let plan = binder.bind.pipeline(&self.pipeline);
        Ok(Bound {
            plan: plan.ok_or_else(|| binder.missing(node, "pipeline", &self.pipeline))?,
            inputs: self.inputs.clone(),
        })
    }
}

impl BoundKind for Bound {
    fn pipeline(&self) -> Option<&Arc<Plan>> {
        Some(&self.plan)
    }
}
