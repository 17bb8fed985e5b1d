//! `ensemble`: the results that can be combined, and the type that they have then.

use std::time::Duration;

use motet_config::{Diagnostic, Span};
use motet_proto::types::ElementType;

use super::syntax::{CombineSpec, Spec};
use crate::check::bodies::OuterScope;
use crate::check::build::Builder;
use crate::check::checker::{BodyDraft, Checker, FlowType, NodeDraft, OutputPort};
use crate::check::dims::{DimId, FactOrigin};
use crate::check::join::{alike, why_arms_lack};
use crate::check::{Body, BuildKind, CheckKind, CheckedKind, KindDraft};
use crate::ops::combine::Combine;
use crate::syntax::NodeSpec;

/// The port that ranked lists are in.
const RANKED: &str = "index";

/// The arms of an `ensemble`, and how their results become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble<B> {
    /// The arms.
    pub arms: Vec<B>,
    /// How their results become one.
    pub combine: Combine,
    /// How many arms must succeed.
    pub quorum: usize,
    /// How long to wait for arms.
    pub deadline: Option<Duration>,
}

/// An `ensemble` while its pipeline is checked.
pub(crate) type Draft = Ensemble<BodyDraft>;
/// An `ensemble` of a checked pipeline.
pub type Checked = Ensemble<Body>;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        _: Span,
    ) -> Option<NodeDraft> {
        let mut outer = OuterScope::default();
        let mut arms = checker.arms(&self.of, &mut outer)?;
        let outputs = match &self.combine.value {
            CombineSpec::Rrf { .. } => checker.fused(node, self, &mut arms)?,
            _ => checker.combined(node, self, &mut arms)?,
        };
        let combine = match &self.combine.value {
            CombineSpec::Mean => Combine::Mean(vec![1.0; arms.len()]),
            CombineSpec::WeightedMean(weights) => Combine::Mean(weights.clone()),
            CombineSpec::Max => Combine::Max,
            CombineSpec::Vote => Combine::Vote,
            CombineSpec::Rrf { k } => Combine::Rrf { k: *k },
            CombineSpec::Concat => Combine::Concat,
        };
        let kind = KindDraft::Ensemble(Ensemble {
            quorum: self.quorum.unwrap_or(arms.len()),
            arms,
            combine,
            deadline: self.deadline.as_ref().map(|d| d.value),
        });
        Some(checker.composite(node, kind, outer, outputs))
    }
}

impl BuildKind for Draft {
    type Checked = Checked;

    fn build(self, builder: &mut Builder, read: &[bool]) -> Option<Checked> {
        Some(Ensemble {
            arms: builder.bodies(self.arms, read)?,
            combine: self.combine,
            quorum: self.quorum,
            deadline: self.deadline,
        })
    }

    fn why_without(&self, name: &str) -> Option<String> {
        why_arms_lack(&self.arms, name)
    }
}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("ensemble of {}", self.arms.len())
    }

    fn bodies(&self) -> Vec<&Body> {
        self.arms.iter().collect()
    }

    fn answering_bodies_mut(&mut self) -> Vec<&mut Body> {
        self.arms.iter_mut().collect()
    }
}

impl Checker<'_> {
    /// The results that all arms have and that can be combined; the arms keep only these.
    fn combined(
        &mut self,
        node: &NodeSpec,
        spec: &Spec,
        arms: &mut [BodyDraft],
    ) -> Option<Vec<OutputPort>> {
        let combine = &spec.combine.value;
        let shared = self.shared_results(node, arms)?;
        let types = |name: &str| -> Vec<FlowType> {
            let of = |arm: &BodyDraft| {
                let result = arm.results.iter().find(|r| r.name == name);
                result.map(|r| r.flow.ty.clone())
            };
            arms.iter().filter_map(of).collect()
        };
        let mut outputs: Vec<OutputPort> = Vec::new();
        let mut refused = Vec::new();
        let mut fits = true;
        for name in &shared {
            let types = types(name);
            if let Some(ty) = types.iter().find(|ty| !takes(combine, ty)) {
                refused.push(format!("`{name}` is {}", self.show(ty)));
                continue;
            }
            let first = types[0].clone();
            let mut joined = first.clone();
            for (arm, ty) in types.iter().enumerate().skip(1) {
                if !alike(&first, ty) {
                    fits = false;
                    let (one, other) = (self.show(&first), self.show(ty));
                    self.diagnostics.push(
                        Diagnostic::error(
                            node.name.span,
                            format!("the arms of `{}` differ in type", node.name.value),
                        )
                        .note(format!("`{name}` of `{}` is {one}", arms[0].name))
                        .note(format!("`{name}` of `{}` is {other}", arms[arm].name)),
                    );
                    continue;
                }
                let skipped = usize::from(matches!(combine, CombineSpec::Concat));
                let why = format!(
                    "`{name}` of `{}` and of `{}` are combined element by element",
                    arms[0].name, arms[arm].name
                );
                for (a, b) in first.dims.iter().zip(&ty.dims).skip(skipped) {
                    fits &= self.unify(*b, *a, node.name.span, "", &why);
                }
            }
            if matches!(combine, CombineSpec::Concat) {
                joined.dims[0] = self.rigid_length(node, name);
            }
            outputs.push(OutputPort {
                name: name.clone(),
                ty: Some(joined),
                single_row: false,
                optional: false,
            });
        }
        if outputs.is_empty() && fits {
            fits = false;
            let mut diagnostic = Diagnostic::error(
                spec.combine.span,
                format!(
                    "nothing that the arms give can be combined so: it takes {}",
                    wanted(combine)
                ),
            );
            for why in refused {
                diagnostic = diagnostic.note(why);
            }
            self.diagnostics.push(diagnostic);
        }
        let names: Vec<String> = outputs.iter().map(|o| o.name.clone()).collect();
        fits &= self.keep(node, arms, &names);
        self.incomplete |= !fits;
        fits.then_some(outputs)
    }

    /// Ranked lists of indices, fused.
    fn fused(
        &mut self,
        node: &NodeSpec,
        spec: &Spec,
        arms: &mut [BodyDraft],
    ) -> Option<Vec<OutputPort>> {
        for arm in arms.iter() {
            let ranked = arm.results.iter().find(|r| r.name == RANKED);
            let fits = ranked.is_some_and(|r| {
                r.flow.ty.element == ElementType::I32 && r.flow.ty.dims.len() == 1
            });
            if !fits {
                self.incomplete = true;
                let shown = match ranked {
                    Some(r) => {
                        let shown = self.show(&r.flow.ty.clone());
                        format!("`{RANKED}` of `{}` is {shown}", arm.name)
                    }
                    None => format!("`{}` has no output `{RANKED}`", arm.name),
                };
                self.diagnostics.push(
                    Diagnostic::error(
                        spec.combine.span,
                        format!(
                            "`rrf` fuses ranked lists: every arm must give `{RANKED}: \
                             i32[K]`, best first"
                        ),
                    )
                    .note(shown),
                );
                return None;
            }
        }
        if !self.keep(node, arms, &[RANKED.to_owned()]) {
            return None;
        }
        for arm in arms.iter_mut() {
            // Also needed where only the fused score is read.
            arm.results[0].output = None;
        }
        let length = self.rigid_length(node, RANKED);
        let port = |name: &str, element| OutputPort {
            name: name.to_owned(),
            ty: Some(FlowType {
                element,
                dims: vec![length],
            }),
            single_row: false,
            optional: false,
        };
        Some(vec![
            port(RANKED, ElementType::I32),
            port("score", ElementType::F32),
        ])
    }

    /// Leaves each arm the results of these names, in this order; they must be there always.
    fn keep(&mut self, node: &NodeSpec, arms: &mut [BodyDraft], names: &[String]) -> bool {
        let mut fits = true;
        for arm in arms {
            for (output, name) in names.iter().enumerate() {
                if let Some(at) = arm.results.iter().position(|r| r.name == *name) {
                    arm.results.swap(output, at);
                    arm.results[output].output = Some(output);
                    let flow = arm.results[output].flow.clone();
                    let written = format!("{}.{name}", arm.name);
                    fits &= self.is_present(&flow, &written, node.name.span, "`ensemble`");
                }
            }
            arm.results.truncate(names.len());
        }
        fits
    }

    fn rigid_length(&mut self, node: &NodeSpec, name: &str) -> DimId {
        let origin = FactOrigin {
            span: node.name.span,
            words: format!(
                "`{name}` is as long as the arms of `{}` make it",
                node.name.value
            ),
        };
        self.dims
            .rigid(format!("{}.{name}", node.name.value), origin)
    }
}

fn takes(combine: &CombineSpec, ty: &FlowType) -> bool {
    match combine {
        CombineSpec::Mean | CombineSpec::WeightedMean(_) => {
            matches!(ty.element, ElementType::F32 | ElementType::F64)
        }
        CombineSpec::Max => ty.element.is_number(),
        CombineSpec::Vote => !ty.element.is_float(),
        CombineSpec::Concat => !ty.dims.is_empty(),
        CombineSpec::Rrf { .. } => false,
    }
}

const fn wanted(combine: &CombineSpec) -> &'static str {
    match combine {
        CombineSpec::Mean | CombineSpec::WeightedMean(_) => "float and f64",
        CombineSpec::Max => "numbers",
        CombineSpec::Vote => "strings, integers and booleans",
        CombineSpec::Concat | CombineSpec::Rrf { .. } => "lists",
    }
}
