//! `split`: the type that all arms and shadows have, and the key that makes arms sticky.

use std::collections::HashSet;

use motet_config::{Diagnostic, Span, Spanned};

use super::syntax::Spec;
use crate::check::bodies::OuterScope;
use crate::check::build::Builder;
use crate::check::checker::{BodyDraft, Checker, DraftSource, NodeDraft};
use crate::check::join::why_arms_lack;
use crate::check::{Body, BuildKind, CheckKind, CheckedKind, KindDraft};
use crate::syntax::{BodySpec, NodeSpec, Reference};

/// The arms of a `split` and the shadows beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Split<B> {
    /// Requests with equal values of this argument take the same arm.
    pub sticky: Option<usize>,
    /// Weights and arms.
    pub arms: Vec<(f64, B)>,
    /// Bodies whose results are only compared, each with the percentage of requests that run it.
    pub shadow: Vec<(f64, B)>,
}

/// A `split` while its pipeline is checked.
pub(crate) type Draft = Split<BodyDraft>;
/// A `split` of a checked pipeline.
pub type Checked = Split<Body>;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        _: Span,
    ) -> Option<NodeDraft> {
        let mut outer = OuterScope::default();
        let sticky = match &self.sticky {
            Some(reference) => checker.sticky(reference, &mut outer)?,
            None => None,
        };
        let arms = self.arms.iter().map(|arm| &arm.body);
        let bodies = arms.chain(self.shadow.iter().map(|shadow| &shadow.body));
        let bodies: Vec<(&BodySpec, _)> = bodies.map(|b| (b, HashSet::new())).collect();
        let mut bodies = checker.arms_with(&bodies, &mut outer)?;
        // Shadows are compared with what is answered, so they give the same.
        let outputs = checker.unify_arms(node, &mut bodies)?;
        let shadow: Vec<BodyDraft> = bodies.split_off(self.arms.len());
        let weights = self.arms.iter().map(|arm| arm.weight.value);
        let percents = self.shadow.iter().map(|shadow| shadow.percent);
        let kind = KindDraft::Split(Split {
            sticky,
            arms: weights.zip(bodies).collect(),
            shadow: percents.zip(shadow).collect(),
        });
        Some(checker.composite(node, kind, outer, outputs))
    }
}

impl BuildKind for Draft {
    type Checked = Checked;

    fn build(self, builder: &mut Builder, read: &[bool]) -> Option<Checked> {
        let mut all = |drafts: Vec<(f64, BodyDraft)>| -> Option<Vec<(f64, Body)>> {
            let each = drafts.into_iter();
            each.map(|(share, draft)| Some((share, builder.body(draft, read)?)))
                .collect()
        };
        Some(Split {
            sticky: self.sticky,
            arms: all(self.arms)?,
            shadow: all(self.shadow)?,
        })
    }

    fn why_without(&self, name: &str) -> Option<String> {
        let all = self.arms.iter().chain(&self.shadow);
        why_arms_lack(all.map(|(_, body)| body), name)
    }
}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("split of {}", self.arms.len())
    }

    fn bodies(&self) -> Vec<&Body> {
        let all = self.arms.iter().chain(&self.shadow);
        all.map(|(_, body)| body).collect()
    }

    /// Shadows answer nothing.
    fn answering_bodies_mut(&mut self) -> Vec<&mut Body> {
        self.arms.iter_mut().map(|(_, body)| body).collect()
    }
}

impl<'a> Checker<'a> {
    /// Returns the argument that chooses the arm, if that is one; `None` when it cannot, which was
    /// reported.
    fn sticky(
        &mut self,
        reference: &'a Spanned<Reference>,
        outer: &mut OuterScope<'a>,
    ) -> Option<Option<usize>> {
        let none = HashSet::new();
        let (_, flow) = self.within(&[], outer, &none, |c| c.flow(reference));
        let flow = flow?;
        let written = reference.value.to_string();
        self.is_present(&flow, &written, reference.span, "`sticky`")
            .then_some(())?;
        if !flow.ty.dims.is_empty() || flow.ty.element.is_float() {
            let shown = self.show(&flow.ty);
            self.incomplete = true;
            self.diagnostics.push(
                Diagnostic::error(
                    reference.span,
                    format!("`sticky` takes a single string, integer or boolean, not {shown}"),
                )
                .label(format!("this is {shown}")),
            );
            return None;
        }
        Some(match flow.source {
            DraftSource::Input(capture) => Some(capture),
            DraftSource::Node { .. } | DraftSource::Literal(_) => None,
        })
    }
}
