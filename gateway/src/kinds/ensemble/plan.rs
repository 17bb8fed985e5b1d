//! `ensemble`: its arms, bound.

use super::check::{Checked, Ensemble};
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundBody, BoundKind, IsUp};

/// An `ensemble` that is ready to run.
pub type Bound = Ensemble<BoundBody>;

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, _: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        Ok(Ensemble {
            arms: binder.bodies(&self.arms)?,
            combine: self.combine.clone(),
            quorum: self.quorum,
            deadline: self.deadline,
        })
    }
}

impl BoundKind for Bound {
    fn bodies(&self) -> Vec<&BoundBody> {
        self.arms.iter().collect()
    }

    fn can_answer(&self, is_up: IsUp<'_>) -> bool {
        let arms = self.arms.iter().filter(|arm| arm.can_answer(is_up));
        arms.count() >= self.quorum
    }

    fn has_way_out(&self) -> bool {
        self.quorum < self.arms.len()
    }
}
