//! Arms of nodes, and nodes that hold them.

use std::collections::HashSet;

use super::bodies::OuterScope;
use super::checker::{BodyDraft, Checker, NodeDraft, OutputPort};
use super::kind::KindDraft;
use crate::syntax::{BodySpec, NodeSpec};

impl<'a> Checker<'a> {
    /// Checks arms without conditions.
    pub(crate) fn arms(
        &mut self,
        arms: &'a [BodySpec],
        outer: &mut OuterScope<'a>,
    ) -> Option<Vec<BodyDraft>> {
        let arms: Vec<_> = arms.iter().map(|arm| (arm, HashSet::new())).collect();
        self.arms_with(&arms, outer)
    }

    /// Checks arms, each with the optional values that are known to be present in it. Arms that are
    /// `value` nodes come last, since their literals take the types that the other arms have.
    pub(crate) fn arms_with(
        &mut self,
        arms: &[(&'a BodySpec, HashSet<String>)],
        outer: &mut OuterScope<'a>,
    ) -> Option<Vec<BodyDraft>> {
        let is_value = |arm: &BodySpec| match arm.nodes.as_slice() {
            [node] if arm.outputs.is_none() => node
                .kind
                .as_ref()
                .is_some_and(|kind| kind.value.syntax().takes_types_of_arms()),
            _ => false,
        };
        let mut drafts: Vec<Option<BodyDraft>> = arms.iter().map(|_| None).collect();
        for values in [false, true] {
            for (at, (arm, present)) in arms.iter().enumerate() {
                if is_value(arm) != values {
                    continue;
                }
                if values {
                    let known = drafts.iter().flatten().flat_map(|draft| &draft.results);
                    self.expected = known.map(|r| (r.name.clone(), r.flow.ty.element)).collect();
                }
                drafts[at] = self.body(arm, outer, present);
                self.expected.clear();
            }
        }
        drafts.into_iter().collect()
    }

    /// Returns a node that holds others and has none of its arguments written.
    pub(crate) fn composite(
        &mut self,
        node: &NodeSpec,
        kind: KindDraft,
        outer: OuterScope<'_>,
        outputs: Vec<OutputPort>,
    ) -> NodeDraft {
        NodeDraft {
            kind,
            when: None,
            arguments: outer.into_arguments(),
            outputs,
            settings: Vec::new(),
            policies: self.outer_policies(node),
            on_error: None,
        }
    }
}
