//! Arms of which one answers: what all of them give, in one type.

use motet_runtime::config::Diagnostic;

use crate::check::dims::{Conflict, DimId, Origin};
use crate::check::state::{BodyDraft, Checker, FlowType, KindDraft, OutputPort};
use crate::spec::NodeSpec;

impl Checker<'_> {
    /// The outputs of a node that gives what one of its arms gives: those that all arms have,
    /// under one name and of one type. The arms keep only these results, in this order.
    pub(super) fn join(
        &mut self,
        node: &NodeSpec,
        arms: &mut [BodyDraft],
    ) -> Option<Vec<OutputPort>> {
        let names = self.shared_results(node, arms)?;
        let mut outputs = Vec::with_capacity(names.len());
        let mut fits = true;
        for (output, name) in names.iter().enumerate() {
            for arm in arms.iter_mut() {
                if let Some(at) = arm.results.iter().position(|r| r.name == *name) {
                    arm.results.swap(output, at);
                    arm.results[output].output = Some(output);
                }
            }
            let arm_of = |i: usize| arms[i].name.clone();
            let flows: Vec<_> = arms
                .iter()
                .map(|a| a.results[output].flow.clone())
                .collect();
            let mut joined = flows[0].ty.clone();
            for (i, flow) in flows.iter().enumerate().skip(1) {
                if flow.ty.element == joined.element && flow.ty.dims.len() == joined.dims.len() {
                    let dims = joined.dims.iter().zip(&flow.ty.dims).enumerate();
                    let dims: Vec<Option<DimId>> = dims
                        .map(|(axis, (a, b))| self.one_of_two(node, name, axis, *a, *b))
                        .collect();
                    if let Some(dims) = dims.into_iter().collect() {
                        joined.dims = dims;
                        continue;
                    }
                }
                fits = false;
                let (first, second) = (self.show(&flows[0].ty), self.show(&flow.ty));
                self.diagnostics.push(
                    Diagnostic::error(
                        node.name.span,
                        format!("the arms of `{}` differ in type", node.name.value),
                    )
                    .note(format!("`{name}` of `{}` is {first}", arm_of(0)))
                    .note(format!("`{name}` of `{}` is {second}", arm_of(i)))
                    .help("name the outputs of an arm by `{ nodes: ..., outputs: ... }` to choose others"),
                );
            }
            outputs.push(OutputPort {
                name: name.clone(),
                ty: Some(joined),
                lift: false,
                optional: flows.iter().any(|f| f.optional),
            });
        }
        self.incomplete |= !fits;
        if !fits {
            return None;
        }
        for arm in arms.iter_mut() {
            arm.results.truncate(names.len());
        }
        Some(outputs)
    }

    /// The names of the results that all arms have, in the first arm's order.
    pub(super) fn shared_results(
        &mut self,
        node: &NodeSpec,
        arms: &[BodyDraft],
    ) -> Option<Vec<String>> {
        let names = |arm: &BodyDraft| -> Vec<String> {
            arm.results.iter().map(|r| r.name.clone()).collect()
        };
        let shared: Vec<String> = names(arms.first()?)
            .into_iter()
            .filter(|name| {
                arms.iter()
                    .all(|a| a.results.iter().any(|r| r.name == *name))
            })
            .collect();
        if !shared.is_empty() {
            return Some(shared);
        }
        self.incomplete = true;
        let mut diagnostic = Diagnostic::error(
            node.name.span,
            format!("the arms of `{}` have no output in common", node.name.value),
        );
        for arm in arms {
            diagnostic = diagnostic.note(format!("`{}` gives {}", arm.name, names(arm).join(", ")));
        }
        self.diagnostics.push(diagnostic.help(
            "give them outputs of one name by `{ nodes: ..., outputs: ... }`, or by `op: select`",
        ));
        None
    }

    /// A dimension that is one of two: the same where they are one, else a length of the node's
    /// own. `None` where both are fixed, differently.
    fn one_of_two(
        &mut self,
        node: &NodeSpec,
        name: &str,
        axis: usize,
        a: DimId,
        b: DimId,
    ) -> Option<DimId> {
        let (left, right) = (self.dims.known(a), self.dims.known(b));
        if left.class == right.class || left.fixed.is_some() && left.fixed == right.fixed {
            return Some(a);
        }
        if let Err(Conflict::Sizes(_)) = self.dims.compatible(a, b) {
            return None;
        }
        let symbol = format!("{}.{name}_{axis}", node.name.value);
        let origin = Origin {
            span: node.name.span,
            words: format!(
                "`{name}` is from whichever arm of `{}` runs",
                node.name.value
            ),
        };
        Some(if axis == 0 {
            self.dims.own(symbol, origin)
        } else {
            self.dims.loose(symbol)
        })
    }
}

impl KindDraft {
    /// Why a node lacks an output that some of its arms have.
    pub(in crate::check) fn without(&self, name: &str) -> Option<String> {
        let arms: Vec<&BodyDraft> = match self {
            Self::Fallback(arms) | Self::Ensemble { arms, .. } => arms.iter().collect(),
            Self::Switch(cases) => cases.iter().map(|(_, arm)| arm).collect(),
            Self::Split { arms, shadow, .. } => {
                arms.iter().chain(shadow).map(|(_, arm)| arm).collect()
            }
            Self::Map { ragged, .. } => {
                let (_, why) = ragged.iter().find(|(output, _)| output == name)?;
                return Some(why.clone());
            }
            Self::Model(_) | Self::Op(_) | Self::Pipeline(_) => return None,
        };
        let has = |arm: &&&BodyDraft| {
            let step = arm.nodes.first().and_then(Option::as_ref);
            arm.results.iter().any(|r| r.name == name)
                || arm.nodes.len() == 1
                    && step.is_some_and(|s| s.outputs.iter().any(|o| o.name == name))
        };
        let with = arms.iter().find(has)?;
        let lacking = arms.iter().find(|arm| !has(arm))?;
        Some(format!(
            "`{}` has it, but `{}` has not, and any of them may answer",
            with.name, lacking.name
        ))
    }
}

/// Whether two types have the same element and number of dimensions.
pub(super) fn alike(a: &FlowType, b: &FlowType) -> bool {
    a.element == b.element && a.dims.len() == b.dims.len()
}
