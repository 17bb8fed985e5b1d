//! Arms of which one answers: the results that all of them have, in one type.

use motet_config::Diagnostic;

use super::checker::{BodyDraft, Checker, FlowType, OutputPort};
use super::dims::{DimId, FactOrigin};
use crate::syntax::NodeSpec;

impl Checker<'_> {
    /// The outputs of a node that gives what one of its arms gives: those that all arms have,
    /// under one name and of one type. The arms keep only these results, in this order.
    pub(crate) fn unify_arms(
        &mut self,
        node: &NodeSpec,
        arms: &mut [BodyDraft],
    ) -> Option<Vec<OutputPort>> {
        let names = self.shared_results(node, arms)?;
        let mut outputs = Vec::with_capacity(names.len());
        let mut fits = true;
        let mut lengths = Vec::new();
        for (output, name) in names.iter().enumerate() {
            for arm in arms.iter_mut() {
                if let Some(at) = arm.results.iter().position(|r| r.name == *name) {
                    arm.results.swap(output, at);
                    arm.results[output].output = Some(output);
                }
            }
            let flows: Vec<_> = arms
                .iter()
                .map(|a| a.results[output].flow.clone())
                .collect();
            let mut joined = flows[0].ty.clone();
            let mut differs = flows.iter().position(|f| !alike(&f.ty, &joined));
            if differs.is_none() {
                for axis in 0..joined.dims.len() {
                    let dims: Vec<DimId> = flows.iter().map(|f| f.ty.dims[axis]).collect();
                    match self.one_of(node, name, axis, &dims, &mut lengths) {
                        Ok(dim) => joined.dims[axis] = dim,
                        Err(arm) => differs = Some(arm),
                    }
                }
            }
            if let Some(arm) = differs {
                fits = false;
                let (first, second) = (self.show(&flows[0].ty), self.show(&flows[arm].ty));
                self.diagnostics.push(
                    Diagnostic::error(
                        node.name.span,
                        format!("the arms of `{}` differ in type", node.name.value),
                    )
                    .note(format!("`{name}` of `{}` is {first}", arms[0].name))
                    .note(format!("`{name}` of `{}` is {second}", arms[arm].name))
                    .help(
                        "name the outputs of an arm by `{ nodes: ..., outputs: ... }` to choose \
                         others",
                    ),
                );
            }
            outputs.push(OutputPort {
                name: name.clone(),
                ty: Some(joined),
                single_row: false,
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
    pub(crate) fn shared_results(
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

    /// A dimension that is one of some, one for each arm: the same where they are one, else a
    /// length of the node's own. Outputs whose lengths come from the same ones in each arm share
    /// it.
    ///
    /// # Errors
    /// The arm in which the dimension is fixed differently from another's.
    fn one_of(
        &mut self,
        node: &NodeSpec,
        name: &str,
        axis: usize,
        dims: &[DimId],
        lengths: &mut Vec<(Vec<Side>, DimId)>,
    ) -> Result<DimId, usize> {
        let sides: Vec<Side> = dims.iter().map(|dim| self.arm_side(*dim)).collect();
        if sides.iter().all(|side| *side == sides[0]) {
            return Ok(dims[0]);
        }
        let fixed = |side: &Side| matches!(side, Side::Fixed(_));
        let first = sides.iter().position(fixed);
        if let Some(first) = first
            && let Some(arm) = sides.iter().position(|s| fixed(s) && *s != sides[first])
        {
            return Err(arm);
        }
        if let Some((_, dim)) = lengths.iter().find(|(known, _)| *known == sides) {
            return Ok(*dim);
        }
        let symbol = format!("{}.{name}_{axis}", node.name.value);
        let origin = FactOrigin {
            span: node.name.span,
            words: format!(
                "`{name}` is from whichever arm of `{}` runs",
                node.name.value
            ),
        };
        let dim = if axis == 0 {
            self.dims.rigid(symbol, origin)
        } else {
            self.dims.flexible(symbol)
        };
        lengths.push((sides, dim));
        Ok(dim)
    }

    fn arm_side(&mut self, dim: DimId) -> Side {
        let known = self.dims.known(dim);
        match (known.fixed, known.name) {
            (Some(n), None) => Side::Fixed(n),
            _ => Side::Length(known.class),
        }
    }
}

/// A dimension of one arm.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// Always of this length.
    Fixed(usize),
    /// A length of a request.
    Length(DimId),
}

/// Explains why a node lacks an output that some of its arms have.
pub(crate) fn why_arms_lack<'a>(
    arms: impl IntoIterator<Item = &'a BodyDraft>,
    name: &str,
) -> Option<String> {
    let arms: Vec<&BodyDraft> = arms.into_iter().collect();
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

/// Returns `true` if two types have the same element type and number of dimensions.
pub(crate) fn alike(a: &FlowType, b: &FlowType) -> bool {
    a.element == b.element && a.dims.len() == b.dims.len()
}
