//! `switch`: conditions, the optional values that they prove to be there, and the type that all
//! arms have.

use std::collections::HashSet;

use motet_config::{Span, Spanned};

use super::syntax::{Case, Spec};
use crate::check::bodies::OuterScope;
use crate::check::build::Builder;
use crate::check::checker::{BodyDraft, Checker, DraftSource, NodeDraft};
use crate::check::condition::present;
use crate::check::join::why_arms_lack;
use crate::check::{Body, BuildKind, CheckKind, CheckedKind, Condition, KindDraft, Source};
use crate::syntax::{Expression, NodeSpec};

/// The arms of a `switch`, in the order in which their conditions are tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch<B, S> {
    /// The arms.
    pub arms: Vec<SwitchArm<B, S>>,
}

/// One arm of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchArm<B, S> {
    /// When it runs, over the node's arguments; `None` for always.
    pub when: Option<Condition<S>>,
    /// Its body.
    pub body: B,
}

/// A `switch` while its pipeline is checked.
pub(crate) type Draft = Switch<BodyDraft, DraftSource>;
/// A `switch` of a checked pipeline.
pub type Checked = Switch<Body, Source>;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        _: Span,
    ) -> Option<NodeDraft> {
        let cases = &self.cases;
        let mut outer = OuterScope::default();
        // Values that are there because no arm before this one ran.
        let mut known = HashSet::new();
        let mut conditions = Vec::with_capacity(cases.len());
        let mut arms = Vec::with_capacity(cases.len());
        let mut has_default = false;
        for case in cases {
            let mut here = known.clone();
            match &case.when {
                Case::Broken => return None,
                Case::Default => {
                    has_default = true;
                    conditions.push(None);
                }
                Case::When(when) => {
                    let condition = checker.case_condition(when, &mut outer, &known);
                    conditions.push(Some(condition));
                    present(&when.value, true, &mut here);
                    present(&when.value, false, &mut known);
                }
            }
            arms.push((&case.body, here));
        }
        let mut arms = checker.arms_with(&arms, &mut outer)?;
        let mut outputs = checker.unify_arms(node, &mut arms)?;
        for output in &mut outputs {
            output.optional |= !has_default;
        }
        let mut drafts = Vec::with_capacity(arms.len());
        for (condition, body) in conditions.into_iter().zip(arms) {
            let when = match condition {
                None => None,
                Some(condition) => Some(condition?),
            };
            drafts.push(SwitchArm { when, body });
        }
        let kind = KindDraft::Switch(Switch { arms: drafts });
        Some(checker.composite(node, kind, outer, outputs))
    }
}

impl BuildKind for Draft {
    type Checked = Checked;

    fn build(self, builder: &mut Builder, read: &[bool]) -> Option<Checked> {
        let mut arms = Vec::with_capacity(self.arms.len());
        for SwitchArm { when, body } in self.arms {
            let when = match when {
                Some(when) => Some(builder.own_condition(when)?),
                None => None,
            };
            let body = builder.body(body, read)?;
            arms.push(SwitchArm { when, body });
        }
        Some(Switch { arms })
    }

    fn why_without(&self, name: &str) -> Option<String> {
        why_arms_lack(self.arms.iter().map(|arm| &arm.body), name)
    }
}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("switch of {}", self.arms.len())
    }

    fn bodies(&self) -> Vec<&Body> {
        self.arms.iter().map(|arm| &arm.body).collect()
    }

    fn answering_bodies_mut(&mut self) -> Vec<&mut Body> {
        self.arms.iter_mut().map(|arm| &mut arm.body).collect()
    }
}

impl<'a> Checker<'a> {
    fn case_condition(
        &mut self,
        when: &Spanned<Expression>,
        outer: &mut OuterScope<'a>,
        known: &HashSet<String>,
    ) -> Option<Condition<DraftSource>> {
        let (_, condition) = self.within(&[], outer, known, |checker| checker.condition(when));
        condition
    }
}
