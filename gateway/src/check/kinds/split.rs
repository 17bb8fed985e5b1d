//! `split`: arms of one type, a key to stick to, shadows.

use std::collections::HashSet;

use motet_config::Diagnostic;

use super::draft;
use crate::check::bodies::Around;
use crate::check::checker::{BodyDraft, Checker, DraftSource, KindDraft, NodeDraft};
use crate::syntax::{BodySpec, NodeSpec, SplitSpec};

impl<'a> Checker<'a> {
    pub(super) fn split(&mut self, node: &'a NodeSpec, split: &'a SplitSpec) -> Option<NodeDraft> {
        let mut around = Around::default();
        let sticky = match &split.sticky {
            None => None,
            Some(reference) => {
                let none = HashSet::new();
                let (_, flow) = self.within(&[], &mut around, &none, |c| c.flow(reference));
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
                            format!("`sticky` takes a single text, whole number or truth value, not {shown}"),
                        )
                        .label(format!("this is {shown}")),
                    );
                    return None;
                }
                match flow.source {
                    DraftSource::Input(capture) => Some(capture),
                    _ => None,
                }
            }
        };
        let bodies: Vec<&'a BodySpec> = split
            .arms
            .iter()
            .map(|a| &a.body)
            .chain(split.shadow.iter().map(|s| &s.body))
            .collect();
        let bodies: Vec<_> = bodies.into_iter().map(|b| (b, HashSet::new())).collect();
        let mut bodies = self.arms_with(&bodies, &mut around)?;
        // Shadows are compared with what is answered, so they give the same.
        let outputs = self.join(node, &mut bodies)?;
        let shadow: Vec<BodyDraft> = bodies.split_off(split.arms.len());
        let weights = split.arms.iter().map(|a| a.weight.value);
        let percents = split.shadow.iter().map(|s| s.percent);
        let kind = KindDraft::Split {
            sticky,
            arms: weights.zip(bodies).collect(),
            shadow: percents.zip(shadow).collect(),
        };
        Some(draft(kind, around, outputs))
    }
}
