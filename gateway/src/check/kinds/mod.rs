//! Nodes that hold other nodes, and values.

mod ensemble;
mod join;
mod map;
mod split;
mod switch;
mod value;

use std::collections::HashSet;

use super::bodies::Around;
use super::checker::{BodyDraft, Checker, KindDraft, NodeDraft, OutputPort};
use crate::policy::settings::Policies;
use crate::syntax::{BodySpec, KindSpec, NodeSpec};

impl<'a> Checker<'a> {
    /// A node that holds others; `None` when what it gives is not known, which was reported.
    pub(super) fn composite(
        &mut self,
        node: &'a NodeSpec,
        kind: &'a KindSpec,
    ) -> Option<NodeDraft> {
        match kind {
            KindSpec::Value(values) => self.value(node, values),
            KindSpec::Fallback(arms) => {
                let mut around = Around::default();
                let arms = self.arms(arms, &mut around)?;
                self.joined(node, around, arms, KindDraft::Fallback)
            }
            KindSpec::Switch(cases) => self.switch(node, cases),
            KindSpec::Split(split) => self.split(node, split),
            KindSpec::Ensemble(ensemble) => self.ensemble(node, ensemble),
            KindSpec::Map(map) => self.map(node, map),
            KindSpec::Model(_) | KindSpec::Grpc(_) | KindSpec::Op(_) | KindSpec::Pipeline(_) => {
                None
            }
        }
    }

    /// Looks at arms that see the same.
    fn arms(&mut self, arms: &'a [BodySpec], around: &mut Around<'a>) -> Option<Vec<BodyDraft>> {
        let arms: Vec<_> = arms.iter().map(|arm| (arm, HashSet::new())).collect();
        self.arms_with(&arms, around)
    }

    /// Looks at arms, each of which may know of values that are there. Those that write values
    /// come last, since the others say of what type those should be.
    fn arms_with(
        &mut self,
        arms: &[(&'a BodySpec, HashSet<String>)],
        around: &mut Around<'a>,
    ) -> Option<Vec<BodyDraft>> {
        let is_value = |arm: &BodySpec| match arm.nodes.as_slice() {
            [node] if arm.outputs.is_none() => {
                matches!(
                    node.kind.as_ref().map(|k| &k.value),
                    Some(KindSpec::Value(_))
                )
            }
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
                drafts[at] = self.body(arm, around, present);
                self.expected.clear();
            }
        }
        drafts.into_iter().collect()
    }

    /// A node that gives what one of its arms gives.
    fn joined(
        &mut self,
        node: &NodeSpec,
        around: Around<'a>,
        mut arms: Vec<BodyDraft>,
        kind: impl FnOnce(Vec<BodyDraft>) -> KindDraft,
    ) -> Option<NodeDraft> {
        let outputs = self.join(node, &mut arms)?;
        Some(draft(kind(arms), around, outputs))
    }
}

/// A node without settings and policies.
fn draft(kind: KindDraft, around: Around<'_>, outputs: Vec<OutputPort>) -> NodeDraft {
    NodeDraft {
        kind,
        when: None,
        arguments: around.into_arguments(),
        outputs,
        settings: Vec::new(),
        policies: Policies::default(),
        on_error: None,
    }
}
