//! Kinds of nodes, checked: the stages of a check that each kind passes.

use std::fmt::Debug;

use motet_config::Span;

use super::build::Builder;
use super::checked::Body;
use super::checker::{Checker, NodeDraft};
use super::origins::{Origin, OriginScope, of_bodies};
use crate::syntax::{CallTarget, KindSpec, NodeSpec};

/// Checks a node as written. Implemented by its `Spec`.
pub(crate) trait CheckKind {
    /// Checks `node`, whose kind is written at `span`. `None` when its results are not known, which
    /// was reported or follows from something that was.
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        span: Span,
    ) -> Option<NodeDraft>;
}

/// A node while its pipeline is checked, before everything has an index. Implemented by its
/// `Draft`.
pub(crate) trait BuildKind {
    /// The node once its pipeline is checked.
    type Checked;

    /// Returns the node with indices; `None` when something is not known. `read` is `true` for each
    /// output that is read.
    fn build(self, builder: &mut Builder, read: &[bool]) -> Option<Self::Checked>;

    /// Explains why the node has no output `name`, where that is not plain from its outputs.
    fn why_without(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
}

/// A draft without anything that needs an index: it is the checked node already.
pub(crate) trait IndexFree {}

impl<T: IndexFree> BuildKind for T {
    type Checked = T;

    fn build(self, _: &mut Builder, _: &[bool]) -> Option<T> {
        Some(self)
    }
}

/// A node of a checked pipeline. Implemented by its `Checked`.
pub(crate) trait CheckedKind: Debug {
    /// Returns a short description for people, such as `model minilm`.
    fn label(&self) -> String;

    /// Returns the shape of the node in Graphviz drawings.
    fn shape(&self) -> &'static str {
        "diamond"
    }

    /// Returns the steps and graphs inside the node, in the file's order.
    fn bodies(&self) -> Vec<&Body> {
        Vec::new()
    }

    /// Returns the bodies whose results the node may give, in the file's order.
    fn answering_bodies_mut(&mut self) -> Vec<&mut Body> {
        Vec::new()
    }

    /// Returns the model or the pipeline that the node calls, if it calls one.
    fn target(&self) -> Option<CallTarget<'_>> {
        None
    }

    /// Sets the origins of the arguments inside the node, and returns those of its outputs.
    fn output_origins(&mut self, outer: &OriginScope<'_>) -> Vec<Origin> {
        of_bodies(self.answering_bodies_mut(), outer)
    }
}

macro_rules! checked_kinds {
    ($($(#[$doc:meta])* $key:literal => $module:ident :: $variant:ident,)*) => {
        /// The kind of a node while its pipeline is checked.
        pub(crate) enum KindDraft {
            $($variant(crate::kinds::$module::check::Draft),)*
        }

        /// The kind of a checked node.
        #[derive(Debug, Clone, PartialEq)]
        pub enum NodeKind {
            $($(#[$doc])* $variant(crate::kinds::$module::check::Checked),)*
        }

        impl KindSpec {
            /// Returns the node as one that can be checked.
            pub(crate) fn to_check(&self) -> &dyn CheckKind {
                match self {
                    $(Self::$variant(spec) => spec,)*
                }
            }
        }

        impl BuildKind for KindDraft {
            type Checked = NodeKind;

            fn build(self, builder: &mut Builder, read: &[bool]) -> Option<NodeKind> {
                Some(match self {
                    $(Self::$variant(draft) => NodeKind::$variant(draft.build(builder, read)?),)*
                })
            }

            fn why_without(&self, name: &str) -> Option<String> {
                match self {
                    $(Self::$variant(draft) => draft.why_without(name),)*
                }
            }
        }

        impl NodeKind {
            /// Returns the node as one of its kind.
            pub(crate) fn checked(&self) -> &dyn CheckedKind {
                match self {
                    $(Self::$variant(checked) => checked,)*
                }
            }

            /// Returns the node as one of its kind, to be changed.
            pub(crate) fn checked_mut(&mut self) -> &mut dyn CheckedKind {
                match self {
                    $(Self::$variant(checked) => checked,)*
                }
            }
        }
    };
}

node_kinds!(checked_kinds);

impl NodeKind {
    /// Returns a short description for people, such as `model minilm`.
    pub fn label(&self) -> String {
        self.checked().label()
    }

    /// Returns the shape of the node in Graphviz drawings.
    pub fn shape(&self) -> &'static str {
        self.checked().shape()
    }

    /// Returns the steps and graphs inside the node, in the file's order.
    pub fn bodies(&self) -> Vec<&Body> {
        self.checked().bodies()
    }

    /// Returns the model or the pipeline that the node calls, if it calls one.
    pub(crate) fn target(&self) -> Option<CallTarget<'_>> {
        self.checked().target()
    }
}
