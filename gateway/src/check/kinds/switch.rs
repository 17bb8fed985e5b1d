//! `switch`: conditions, what they say of optional values, and arms of one type.

use std::collections::HashSet;

use motet_config::Spanned;

use super::draft;
use crate::check::bodies::Around;
use crate::check::checker::{Checker, KindDraft, NodeDraft};
use crate::check::condition::present;
use crate::syntax::{Case, CaseSpec, Expression, NodeSpec};

impl<'a> Checker<'a> {
    pub(super) fn switch(
        &mut self,
        node: &'a NodeSpec,
        cases: &'a [CaseSpec],
    ) -> Option<NodeDraft> {
        let mut around = Around::default();
        // What is there because no arm before this one ran.
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
                    let condition = self.case_condition(when, &mut around, &known);
                    conditions.push(Some(condition));
                    present(&when.value, true, &mut here);
                    present(&when.value, false, &mut known);
                }
            }
            arms.push((&case.body, here));
        }
        let mut arms = self.arms_with(&arms, &mut around)?;
        let mut outputs = self.join(node, &mut arms)?;
        for output in &mut outputs {
            output.optional |= !has_default;
        }
        let mut cases = Vec::with_capacity(arms.len());
        for (condition, arm) in conditions.into_iter().zip(arms) {
            cases.push(match condition {
                None => (None, arm),
                Some(condition) => (Some(condition?), arm),
            });
        }
        Some(draft(KindDraft::Switch(cases), around, outputs))
    }

    fn case_condition(
        &mut self,
        when: &Spanned<Expression>,
        around: &mut Around<'a>,
        known: &HashSet<String>,
    ) -> Option<crate::check::Condition<crate::check::checker::DraftSource>> {
        let (_, condition) = self.within(&[], around, known, |checker| checker.condition(when));
        condition
    }
}
