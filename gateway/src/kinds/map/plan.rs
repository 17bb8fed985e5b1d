//! `map`: its body, bound.

use super::check::{Checked, Map};
use super::syntax::ItemError;
use crate::check::Node;
use crate::plan::{BindError, BindKind, Binder, BoundBody, BoundKind, IsUp};

/// A `map` that is ready to run.
pub type Bound = Map<Box<BoundBody>>;

impl BindKind for Checked {
    type Bound = Bound;

    fn bind(&self, _: &Node, binder: &Binder<'_>) -> Result<Bound, BindError> {
        Ok(Map {
            body: Box::new(binder.body(&self.body)?),
            over: self.over,
            max_items: self.max_items,
            concurrency: self.concurrency,
            on_item_error: self.on_item_error,
        })
    }
}

impl BoundKind for Bound {
    fn bodies(&self) -> Vec<&BoundBody> {
        vec![&self.body]
    }

    fn can_answer(&self, is_up: IsUp<'_>) -> bool {
        self.on_item_error != ItemError::Fail || self.body.can_answer(is_up)
    }

    fn has_way_out(&self) -> bool {
        self.on_item_error != ItemError::Fail
    }
}
