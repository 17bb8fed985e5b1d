//! `map`: types of the elements, and of the lists that their results make.

use std::collections::HashSet;

use motet_config::{Diagnostic, Span};
use motet_proto::types::ElementType;

use super::syntax::{ItemError, Spec};
use crate::check::bodies::OuterScope;
use crate::check::build::Builder;
use crate::check::checker::{
    BodyDraft, Captured, Checker, FlowType, NodeDraft, OutputPort, ResultDraft,
};
use crate::check::dims::{DimId, FactOrigin};
use crate::check::{Body, BuildKind, CheckKind, CheckedKind, KindDraft};
use crate::syntax::NodeSpec;

/// A `map`. The first `over` arguments are lists; the body sees an element of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Map<B> {
    /// The body that runs for each element.
    pub body: B,
    /// The number of arguments that are lists: the first ones.
    pub over: usize,
    /// The most elements.
    pub max_items: usize,
    /// The most elements that run at a time.
    pub concurrency: usize,
    /// Reaction to an element that fails. With `drop` the node has one more output, the indices
    /// of the elements that are left; with `null`, which elements failed.
    pub on_item_error: ItemError,
}

/// A `map` while its pipeline is checked.
pub(crate) struct Draft {
    map: Map<BodyDraft>,
    ragged: Vec<Ragged>,
}

/// A `map` of a checked pipeline.
pub type Checked = Map<Body>;

/// A result that makes no list, and why.
type Ragged = (String, String);

/// With `on_item_error: drop`: which elements are left.
const KEPT: &str = "index";
/// With `on_item_error: null`: which elements failed.
const FAILED: &str = "failed";

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        _: Span,
    ) -> Option<NodeDraft> {
        let (mut outer, length) = checker.elements(self)?;
        let mark = checker.dims.generation();
        let mut body = checker.body(&self.body, &mut outer, &HashSet::new())?;
        let (leading, added) = match self.on_item_error {
            ItemError::Fail => (length, None),
            ItemError::Null => (length, Some((FAILED, ElementType::Bool))),
            ItemError::Drop => {
                let origin = FactOrigin {
                    span: node.name.span,
                    words: "elements that fail are left out".to_owned(),
                };
                let kept = checker
                    .dims
                    .rigid(format!("{}.{KEPT}", node.name.value), origin);
                (kept, Some((KEPT, ElementType::I32)))
            }
        };
        let (mut outputs, ragged) = checker.lists(node, self, &mut body, leading, mark)?;
        if let Some((name, element)) = added {
            if outputs.iter().any(|o| o.name == name) {
                checker.incomplete = true;
                checker.diagnostics.push(Diagnostic::error(
                    node.name.span,
                    format!(
                        "`{}` gives an output `{name}` of its own with this `on_item_error`: \
                         rename the other",
                        node.name.value
                    ),
                ));
                return None;
            }
            outputs.push(OutputPort {
                name: name.to_owned(),
                ty: Some(FlowType {
                    element,
                    dims: vec![leading],
                }),
                single_row: false,
                optional: false,
            });
        }
        let map = Map {
            body,
            over: self.over.len(),
            max_items: self.max_items,
            concurrency: self.concurrency,
            on_item_error: self.on_item_error,
        };
        let kind = KindDraft::Map(Draft { map, ragged });
        Some(checker.composite(node, kind, outer, outputs))
    }
}

impl BuildKind for Draft {
    type Checked = Checked;

    fn build(self, builder: &mut Builder, read: &[bool]) -> Option<Checked> {
        Some(Map {
            body: builder.body(self.map.body, read)?,
            over: self.map.over,
            max_items: self.map.max_items,
            concurrency: self.map.concurrency,
            on_item_error: self.map.on_item_error,
        })
    }

    fn why_without(&self, name: &str) -> Option<String> {
        let (_, why) = self.ragged.iter().find(|(output, _)| output == name)?;
        Some(why.clone())
    }
}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        "map".to_owned()
    }

    fn bodies(&self) -> Vec<&Body> {
        vec![&self.body]
    }

    fn answering_bodies_mut(&mut self) -> Vec<&mut Body> {
        vec![&mut self.body]
    }
}

impl<'a> Checker<'a> {
    /// The lists, as captures whose inside is an element, and their one length.
    fn elements(&mut self, map: &'a Spec) -> Option<(OuterScope<'a>, DimId)> {
        let mut outer = OuterScope::default();
        let mut length = None;
        let mut fits = true;
        for over in &map.over {
            let span = over.value.span;
            let Some(flow) = self.flow(&over.value) else {
                fits = false;
                continue;
            };
            let written = over.value.value.to_string();
            fits &= self.is_present(&flow, &written, span, "`map`");
            let shown = self.show(&flow.ty);
            let Some((first, rest)) = flow.ty.dims.split_first() else {
                fits = false;
                self.diagnostics.push(
                    Diagnostic::error(
                        span,
                        format!("`map` goes through a list, not through {shown}"),
                    )
                    .label(format!("this is {shown}")),
                );
                continue;
            };
            let ty = FlowType {
                element: flow.ty.element,
                dims: rest.to_vec(),
            };
            match length {
                None => length = Some(*first),
                Some(length) => {
                    let label = format!("this is {shown}");
                    let why = "the lists of `over` are gone through together";
                    fits &= self.unify(*first, length, span, &label, why);
                }
            }
            outer.elements.push(&over.name.value);
            outer.captures.push(Captured {
                name: over.name.value.clone(),
                outer: flow,
                ty,
            });
        }
        self.incomplete |= !fits;
        Some((outer, length.filter(|_| fits)?))
    }

    /// Returns the results of the elements as lists, and those that make no list, with the reason.
    fn lists(
        &mut self,
        node: &NodeSpec,
        map: &Spec,
        body: &mut BodyDraft,
        leading: DimId,
        mark: usize,
    ) -> Option<(Vec<OutputPort>, Vec<Ragged>)> {
        let mut outputs = Vec::with_capacity(body.results.len());
        let mut ragged = Vec::new();
        let mut fits = true;
        for result in std::mem::take(&mut body.results) {
            let flow = &result.flow;
            let name = &result.name;
            let written = format!("{}.{name}", map.body.name.value);
            fits &= self.is_present(flow, &written, node.name.span, "`map`");
            let mut dims = flow.ty.dims.iter();
            if let Some(dim) = dims.find(|d| self.dims.is_rigid_since(**d, mark)) {
                let (shown, dim) = (self.show(&flow.ty), self.dims.show(*dim));
                let why = format!(
                    "`{name}` is {shown} for each element, and `{dim}` differs from one to the next"
                );
                ragged.push((name.clone(), why));
                continue;
            }
            let mut dims = vec![leading];
            dims.extend(&flow.ty.dims);
            outputs.push(OutputPort {
                name: name.clone(),
                ty: Some(FlowType {
                    element: flow.ty.element,
                    dims,
                }),
                single_row: false,
                optional: false,
            });
            body.results.push(ResultDraft {
                output: Some(outputs.len() - 1),
                ..result
            });
        }
        // Those of a single step may be left out; those that are asked for by name may not.
        if !ragged.is_empty() && (map.body.outputs.is_some() || outputs.is_empty()) {
            fits = false;
            for (_, why) in &ragged {
                self.diagnostics.push(
                    Diagnostic::error(node.name.span, why.as_str())
                        .note("a list of lists must have rows of one length")
                        .help("bring it to one length inside, as by `op: topk` or `op: concat`"),
                );
            }
        }
        self.incomplete |= !fits;
        fits.then_some((outputs, ragged))
    }
}
