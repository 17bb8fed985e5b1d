//! `fallback`: the type that all arms have.

use motet_config::Span;

use super::syntax::Spec;
use crate::check::bodies::OuterScope;
use crate::check::build::Builder;
use crate::check::checker::{BodyDraft, Checker, NodeDraft};
use crate::check::join::why_arms_lack;
use crate::check::{Body, BuildKind, CheckKind, CheckedKind, KindDraft};
use crate::syntax::NodeSpec;

/// The arms of a `fallback`, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Fallback<B> {
    /// The arms.
    pub arms: Vec<B>,
}

/// A `fallback` while its pipeline is checked.
pub(crate) type Draft = Fallback<BodyDraft>;
/// A `fallback` of a checked pipeline.
pub type Checked = Fallback<Body>;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        _: Span,
    ) -> Option<NodeDraft> {
        let mut outer = OuterScope::default();
        let mut arms = checker.arms(&self.arms, &mut outer)?;
        let outputs = checker.unify_arms(node, &mut arms)?;
        let kind = KindDraft::Fallback(Fallback { arms });
        Some(checker.composite(node, kind, outer, outputs))
    }
}

impl BuildKind for Draft {
    type Checked = Checked;

    fn build(self, builder: &mut Builder, read: &[bool]) -> Option<Checked> {
        Some(Fallback {
            arms: builder.bodies(self.arms, read)?,
        })
    }

    fn why_without(&self, name: &str) -> Option<String> {
        why_arms_lack(&self.arms, name)
    }
}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("fallback of {}", self.arms.len())
    }

    fn bodies(&self) -> Vec<&Body> {
        self.arms.iter().collect()
    }

    fn answering_bodies_mut(&mut self) -> Vec<&mut Body> {
        self.arms.iter_mut().collect()
    }
}
