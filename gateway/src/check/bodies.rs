//! Bodies inside nodes: each is a scope of its own, which captures values from around the node.

use std::collections::HashSet;

use motet_config::Diagnostic;

use super::checker::{
    ArgumentDraft, BodyDraft, Captured, Checker, DraftSource, Flow, ResultDraft, Scope,
};
use super::usage::Usage;
use crate::syntax::{BodySpec, NodeSpec};

/// Values from around a node that its bodies share.
#[derive(Default)]
pub(crate) struct OuterScope<'a> {
    pub(crate) captures: Vec<Captured>,
    pub(crate) elements: Vec<&'a str>,
}

impl OuterScope<'_> {
    /// Returns the arguments of the node: the values that its bodies capture.
    pub(crate) fn into_arguments(self) -> Vec<ArgumentDraft> {
        self.captures
            .into_iter()
            .map(|capture| ArgumentDraft {
                port: capture.name,
                element: capture.outer.ty.element,
                flow: capture.outer,
                single_row: false,
            })
            .collect()
    }
}

impl<'a> Checker<'a> {
    /// Checks something that belongs to a node, such as the conditions of its arms, in a scope
    /// inside the node.
    pub(crate) fn within<T>(
        &mut self,
        nodes: &'a [NodeSpec],
        outer: &mut OuterScope<'a>,
        present: &HashSet<String>,
        look: impl FnOnce(&mut Self) -> T,
    ) -> (Scope<'a>, T) {
        let mut scope = Scope::new(nodes);
        scope.captures = std::mem::take(&mut outer.captures);
        scope.elements = std::mem::take(&mut outer.elements);
        scope.present = present.clone();
        self.scopes.push(scope);
        let found = look(self);
        let mut scope = self.scopes.pop().unwrap_or_else(|| Scope::new(nodes));
        outer.captures = std::mem::take(&mut scope.captures);
        outer.elements = std::mem::take(&mut scope.elements);
        (scope, found)
    }

    /// Checks a body. `None` when its results are not known, which was reported.
    pub(crate) fn body(
        &mut self,
        spec: &'a BodySpec,
        outer: &mut OuterScope<'a>,
        present: &HashSet<String>,
    ) -> Option<BodyDraft> {
        let (scope, (order, results)) = self.within(&spec.nodes, outer, present, |checker| {
            checker.names_are_new();
            let outputs = spec.outputs.iter().flatten();
            checker.incomplete |= outputs.clone().any(|o| o.value.is_none());
            let references = outputs.filter_map(|o| Some(&o.value.as_ref()?.value));
            checker.check_targets(references);
            let order = checker.order();
            for node in &order {
                checker.check_node(*node);
            }
            (order, checker.body_results(spec))
        });
        let results = results.filter(|_| scope.drafts.iter().all(Option::is_some));
        let Some(results) = results else {
            self.incomplete = true;
            return None;
        };
        let read = results.iter().map(|r| &r.flow);
        let usage = Usage::of(&scope.drafts, read);
        self.check_substitutes(scope.nodes, &scope.drafts, &usage);
        if spec.outputs.is_some() && !self.incomplete {
            self.warn_unused_nodes(scope.nodes, &usage);
        }
        Some(BodyDraft {
            name: spec.name.value.clone(),
            names: spec.nodes.iter().map(|n| n.name.value.clone()).collect(),
            nodes: scope.drafts,
            order,
            results,
        })
    }

    /// Returns the results of a body: the outputs that it names, or all those of its one step.
    fn body_results(&mut self, spec: &'a BodySpec) -> Option<Vec<ResultDraft>> {
        let Some(outputs) = &spec.outputs else {
            let step = self.scope().drafts.first()?.as_ref()?;
            let results = step.outputs.iter().enumerate().map(|(output, port)| {
                Some(ResultDraft {
                    name: port.name.clone(),
                    flow: Flow {
                        source: DraftSource::Node { node: 0, output },
                        ty: port.ty.clone()?,
                        optional: port.optional,
                    },
                    output: None,
                })
            });
            return results.collect();
        };
        let mut results = Vec::with_capacity(outputs.len());
        for output in outputs {
            let flow = output.value.as_ref().and_then(|r| self.flow(r));
            results.extend(flow.map(|flow| ResultDraft {
                name: output.name.value.clone(),
                flow,
                output: None,
            }));
        }
        (results.len() == outputs.len()).then_some(results)
    }

    /// Checks that no node of the body has the name of something around it.
    fn names_are_new(&mut self) {
        let scope = self.scope();
        let (nodes, elements) = (scope.nodes, scope.elements.clone());
        let names = nodes.iter().map(|n| (n.name.value.as_str(), Some(&n.name)));
        let names = names.chain(elements.iter().map(|e| (*e, None)));
        let outer = &self.scopes[..self.scopes.len() - 1];
        let mut found = Vec::new();
        for (name, node) in names {
            let other = if self.input_names.contains_key(name) {
                "an input"
            } else if outer.iter().any(|s| s.names.contains_key(name)) {
                "a node"
            } else if outer.iter().any(|s| s.elements.contains(&name))
                || node.is_some() && elements.contains(&name)
            {
                "an element"
            } else {
                continue;
            };
            let at = node.map_or_else(|| nodes.first().map(|n| n.name.span), |n| Some(n.span));
            found.extend(at.map(|at| {
                Diagnostic::error(at, format!("`{name}` is already {other} around this node"))
                    .help("rename one of them: `$name` would mean either")
            }));
        }
        for diagnostic in found {
            self.incomplete = true;
            self.diagnostics.push(diagnostic);
        }
    }
}
