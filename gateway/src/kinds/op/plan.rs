//! `op`: the op itself, which runs in this process.

use super::check::Checked;
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundKind};

/// An op in the form that its arguments chose.
pub type Bound = Checked;

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, _: &Node, _: &Binder<'_>) -> Result<Bound, BindError> {
        Ok(*self)
    }
}

impl BoundKind for Bound {}
