//! `fallback`: its arms, bound.

use super::check::{Checked, Fallback};
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundBody, BoundKind, IsUp};

/// A `fallback` that is ready to run.
pub type Bound = Fallback<BoundBody>;

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, _: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        Ok(Fallback {
            arms: binder.bodies(&self.arms)?,
        })
    }
}

impl BoundKind for Bound {
    fn bodies(&self) -> Vec<&BoundBody> {
        self.arms.iter().collect()
    }

    fn can_answer(&self, is_up: IsUp<'_>) -> bool {
        self.arms.iter().any(|arm| arm.can_answer(is_up))
    }

    fn has_way_out(&self) -> bool {
        self.arms.len() > 1
    }
}
