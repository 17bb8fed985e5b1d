//! `switch`: its arms, bound.

use super::check::{Checked, Switch, SwitchArm};
use crate::check::{Node, Source};
use crate::plan::{BindError, BindKind, Binder, BoundBody, BoundKind};

/// A `switch` that is ready to run.
pub type Bound = Switch<BoundBody, Source>;

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, _: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        let arms = self.arms.iter().map(|arm| {
            Ok(SwitchArm {
                when: arm.when.clone(),
                body: binder.body(&arm.body)?,
            })
        });
        Ok(Switch {
            arms: arms.collect::<Result<_, BindError>>()?,
        })
    }
}

impl BoundKind for Bound {
    fn bodies(&self) -> Vec<&BoundBody> {
        self.arms.iter().map(|arm| &arm.body).collect()
    }
}
