//! Kinds of nodes, bound to what they call.

use std::fmt::Debug;
use std::sync::Arc;

use super::{BindError, Binder, BoundBody, IsUp, Plan};
use crate::check::{Node, NodeKind};
use crate::model::Backend;

/// Binds a checked node. Implemented by its `Checked`.
pub(crate) trait BindKind {
    /// The bound node.
    type Bound;

    /// Looks up what `node` calls, and returns the node bound to it.
    ///
    /// # Errors
    /// When there is nothing of a name that the node calls.
    fn bind(&self, node: &Node, binder: &Binder<'_>) -> Result<Self::Bound, BindError>;
}

/// A bound node. Implemented by its `Bound`.
pub(crate) trait BoundKind: Debug {
    /// Returns the bodies inside the node, in the order of [`NodeKind::bodies`].
    fn bodies(&self) -> Vec<&BoundBody> {
        Vec::new()
    }

    /// Returns whether the node can have a result though some of what is inside it has none.
    fn has_way_out(&self) -> bool {
        false
    }

    /// Returns whether the node can have a result while the models for which `is_up` is false are
    /// away.
    fn can_answer(&self, is_up: IsUp<'_>) -> bool {
        self.backend().is_none_or(is_up)
            && self.pipeline().is_none_or(|plan| plan.can_answer(is_up))
            && self.bodies().iter().all(|body| body.can_answer(is_up))
    }

    /// Returns the model that the node calls, if it calls one.
    fn backend(&self) -> Option<&Backend> {
        None
    }

    /// Returns the pipeline that the node calls, if it calls one.
    fn pipeline(&self) -> Option<&Arc<Plan>> {
        None
    }
}

macro_rules! steps {
    ($($(#[$doc:meta])* $key:literal => $module:ident :: $variant:ident,)*) => {
        /// Executable form of a node.
        #[derive(Debug)]
        pub enum Step {
            $($(#[$doc])* $variant(crate::kinds::$module::plan::Bound),)*
        }

        impl Step {
            pub(super) fn bind(node: &Node, binder: &Binder<'_>) -> Result<Self, BindError> {
                Ok(match &node.kind {
                    $(NodeKind::$variant(kind) => Self::$variant(kind.bind(node, binder)?),)*
                })
            }

            /// Returns the node as one of its kind.
            pub(crate) fn bound(&self) -> &dyn BoundKind {
                match self {
                    $(Self::$variant(bound) => bound,)*
                }
            }
        }
    };
}

node_kinds!(steps);
