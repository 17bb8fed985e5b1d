//! One node: what it calls, which arguments it gives, and which are missing.

use motet_config::{Diagnostic, Spanned, nearest, truncated};

use super::callee::Callee;
use super::checked::Setting;
use super::checker::{ArgumentDraft, Checker, Flow, NodeDraft};
use super::condition::present;
use super::kind::KindDraft;
use crate::syntax::{Named, NodeSpec, Value};

impl<'a> Checker<'a> {
    pub(crate) fn check_node(&mut self, index: usize) {
        let nodes: &'a [NodeSpec] = self.scope().nodes;
        let node = &nodes[index];
        self.check_deadline(node);
        let when = node.when.as_ref().map(|when| self.condition(when));
        // Where the node runs, its condition holds.
        let before = self.scope().present.clone();
        if let Some(when) = &node.when {
            present(&when.value, true, &mut self.scope_mut().present);
        }
        let draft = match &node.kind {
            Some(kind) => kind.value.to_check().check(self, node, kind.span),
            None => None,
        };
        self.scope_mut().present = before;
        let (Some(mut draft), Some(when)) = (draft, when.map_or(Some(None), |w| w.map(Some)))
        else {
            self.incomplete = true;
            return;
        };
        for output in &mut draft.outputs {
            output.optional |= when.is_some();
        }
        draft.when = when;
        let outputs = draft.outputs.clone();
        self.scope_mut().drafts[index] = Some(draft);
        let on_error = node
            .on_error
            .as_ref()
            .map(|on_error| self.on_error(node, on_error, &outputs));
        if let Some(draft) = &mut self.scope_mut().drafts[index] {
            draft.on_error = on_error;
        }
    }

    /// Returns the values of the node's arguments that are references, in the file's order.
    pub(crate) fn argument_flows(&mut self, node: &NodeSpec) -> Vec<Option<Flow>> {
        node.inputs.iter().map(|a| self.argument_flow(a)).collect()
    }

    /// Checks the arguments and policies of a node that calls `callee` with these settings. `kind`
    /// makes the node's kind, given the arguments.
    pub(crate) fn call(
        &mut self,
        node: &NodeSpec,
        callee: &Callee,
        flows: Vec<Option<Flow>>,
        settings: Vec<Setting>,
        kind: impl FnOnce(&[ArgumentDraft]) -> KindDraft,
    ) -> NodeDraft {
        let (arguments, outputs) = self.ports(node, callee, flows);
        NodeDraft {
            policies: self.policies(node, callee),
            kind: kind(&arguments),
            when: None,
            arguments,
            outputs,
            settings,
            on_error: None,
        }
    }

    /// The value of an argument that is a reference.
    fn argument_flow(&mut self, argument: &Named<Spanned<Value>>) -> Option<Flow> {
        match &argument.value.value {
            Value::Reference(reference) => {
                let flow = self.flow(&Spanned::new(reference.clone(), argument.value.span));
                self.incomplete |= flow.is_none();
                flow
            }
            Value::Literal(_) | Value::Broken => None,
        }
    }

    /// Arguments without a port and ports without an argument.
    pub(crate) fn unknown_and_missing(&mut self, node: &NodeSpec, callee: &Callee) {
        let ports: Vec<&str> = callee.inputs.iter().map(|p| p.name.as_str()).collect();
        let free: Vec<&str> = ports
            .iter()
            .copied()
            .filter(|port| node.inputs.iter().all(|a| a.name.value != *port))
            .collect();
        let mut meant: Vec<&str> = Vec::new();
        for argument in &node.inputs {
            let name = &argument.name.value;
            if ports.contains(&name.as_str()) {
                continue;
            }
            self.incomplete = true;
            let mut diagnostic = Diagnostic::error(
                argument.name.span,
                format!("{} has no input `{}`", callee.name, truncated(name)),
            );
            // A slip of a port that is still free is one mistake, not two. A parameter here is a
            // common one.
            let near = nearest(name, free.iter().copied());
            if callee.parameters.iter().any(|p| p.name == *name) {
                diagnostic =
                    diagnostic.help(format!("`{name}` is a parameter: put it under `with:`"));
            } else if let Some(near) = near {
                meant.push(near);
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            } else {
                diagnostic = diagnostic.suggest(name, ports.iter().copied());
            }
            self.diagnostics.push(diagnostic);
        }
        for port in &callee.inputs {
            if !port.required || !free.contains(&port.name.as_str()) {
                continue;
            }
            self.incomplete = true;
            if node.unreadable || meant.contains(&port.name.as_str()) {
                continue;
            }
            let ty = port
                .ty
                .as_ref()
                .map_or(String::new(), |ty| format!(": {ty}"));
            self.diagnostics.push(
                Diagnostic::error(
                    node.inputs_span,
                    format!(
                        "node `{}` lacks the input `{}{ty}`",
                        node.name.value, port.name
                    ),
                )
                .also(callee.span, format!("{} takes it", callee.name)),
            );
        }
    }
}
