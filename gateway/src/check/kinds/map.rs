//! `map`: elements inside, lists outside.

use motet_config::Diagnostic;
use motet_proto::types::ElementType;
use std::collections::HashSet;

use super::draft;
use crate::check::bodies::Around;
use crate::check::checker::{
    BodyDraft, Capture, Checker, FlowType, KindDraft, NodeDraft, OutputPort, ResultDraft,
};
use crate::check::dims::{DimId, Origin};
use crate::syntax::{ItemError, MapSpec, NodeSpec};

/// A result that makes no list, and why.
type Ragged = (String, String);

/// With `on_item_error: drop`: which elements are left.
const KEPT: &str = "index";
/// With `on_item_error: null`: which elements failed.
const FAILED: &str = "failed";

impl<'a> Checker<'a> {
    pub(super) fn map(&mut self, node: &'a NodeSpec, map: &'a MapSpec) -> Option<NodeDraft> {
        let (mut around, length) = self.elements(map)?;
        let mark = self.dims.mark();
        let mut body = self.body(&map.body, &mut around, &HashSet::new())?;
        let (leading, added) = match map.on_item_error {
            ItemError::Fail => (length, None),
            ItemError::Null => (length, Some((FAILED, ElementType::Bool))),
            ItemError::Drop => {
                let origin = Origin {
                    span: node.name.span,
                    words: "elements that fail are left out".to_owned(),
                };
                let kept = self.dims.own(format!("{}.{KEPT}", node.name.value), origin);
                (kept, Some((KEPT, ElementType::I32)))
            }
        };
        let (mut outputs, ragged) = self.lists(node, map, &mut body, leading, mark)?;
        if let Some((name, element)) = added {
            if outputs.iter().any(|o| o.name == name) {
                self.incomplete = true;
                self.diagnostics.push(Diagnostic::error(
                    node.name.span,
                    format!("`{}` gives an output `{name}` of its own with this `on_item_error`: rename the other", node.name.value),
                ));
                return None;
            }
            outputs.push(OutputPort {
                name: name.to_owned(),
                ty: Some(FlowType {
                    element,
                    dims: vec![leading],
                }),
                lift: false,
                optional: false,
            });
        }
        let kind = KindDraft::Map {
            body,
            over: map.over.len(),
            max_items: map.max_items,
            concurrency: map.concurrency,
            on_item_error: map.on_item_error,
            ragged,
        };
        Some(draft(kind, around, outputs))
    }

    /// The lists, as captures whose inside is an element, and their one length.
    fn elements(&mut self, map: &'a MapSpec) -> Option<(Around<'a>, DimId)> {
        let mut around = Around::default();
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
            around.elements.push(&over.name.value);
            around.captures.push(Capture {
                name: over.name.value.clone(),
                outer: flow,
                ty,
            });
        }
        self.incomplete |= !fits;
        Some((around, length.filter(|_| fits)?))
    }

    /// What each element gives, as lists; and what cannot be a list, with why.
    fn lists(
        &mut self,
        node: &NodeSpec,
        map: &MapSpec,
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
            if let Some(dim) = dims.find(|d| self.dims.is_own_since(**d, mark)) {
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
                lift: false,
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
