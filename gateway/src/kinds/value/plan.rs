//! `value`: nothing to bind.

use super::check::Checked;
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundKind};

/// Values, which are the arguments of the node.
pub type Bound = Checked;

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, _: &Node, _: &Binder<'_>) -> Result<Bound, BindError> {
        Ok(*self)
    }
}

impl BoundKind for Bound {}
