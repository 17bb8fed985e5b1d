//! What the outputs need, and what nothing needs.

use motet_runtime::config::{Diagnostic, nearest};

use super::state::{Checker, DraftSource, Flow, NodeDraft, OutputDraft};

/// Which nodes run and which of their outputs are read, by index of the spec.
pub(super) struct Usage {
    /// Whether the outputs need the node, at least when another fails.
    pub(super) runs: Vec<bool>,
    /// For each node, whether each of its outputs is read.
    pub(super) read: Vec<Vec<bool>>,
}

impl Checker<'_> {
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage {
            runs: vec![false; self.nodes.len()],
            read: self
                .nodes
                .iter()
                .map(|n| vec![false; n.as_ref().map_or(0, |n| n.outputs.len())])
                .collect(),
        };
        let mut waiting: Vec<usize> = Vec::new();
        for output in &self.outputs {
            match output {
                OutputDraft::Broken => {}
                OutputDraft::Value(flow) => usage.need(flow, &mut waiting),
                OutputDraft::Records { columns, .. } => {
                    for (_, flow) in columns {
                        usage.need(flow, &mut waiting);
                    }
                }
            }
        }
        while let Some(node) = waiting.pop() {
            for flow in self.nodes[node].iter().flat_map(needs) {
                usage.need(flow, &mut waiting);
            }
        }
        usage
    }

    /// Warns of what has no use, when everything is known.
    pub(super) fn warn_unused(&mut self, usage: &Usage) {
        for (input, draft) in self.spec.inputs.iter().zip(&self.inputs) {
            if !draft.used {
                self.diagnostics.push(Diagnostic::warning(
                    input.name.span,
                    format!("the input `{}` is not used", input.name.value),
                ));
            }
        }
        for (node, runs) in self.spec.nodes.iter().zip(&usage.runs) {
            if !runs {
                self.diagnostics.push(Diagnostic::warning(
                    node.name.span,
                    format!(
                        "no output needs the node `{}`: it never runs",
                        node.name.value
                    ),
                ));
            }
        }
    }

    /// What stands in for a failed node must cover every output that is read.
    pub(super) fn check_substitutes(&mut self, usage: &Usage) {
        for (index, draft) in self.nodes.iter().enumerate() {
            let Some(draft) = draft else { continue };
            let Some(on_error) = &draft.on_error else {
                continue;
            };
            for (output, port) in draft.outputs.iter().enumerate() {
                // A slip of the output's name was reported as such.
                let written = self.spec.nodes[index].on_error.as_ref().is_some_and(|o| {
                    o.substitutes.iter().any(|s| {
                        s.name.value == port.name
                            || nearest(&s.name.value, [port.name.as_str()]).is_some()
                    })
                });
                if usage.read[index][output] && !written {
                    self.incomplete = true;
                    self.diagnostics.push(
                        Diagnostic::error(
                            on_error.span,
                            format!(
                                "`on_error` has no value for the output `{}`, which is read",
                                port.name
                            ),
                        )
                        .help(format!("add `{}` to `use`", port.name)),
                    );
                }
            }
        }
    }
}

/// Every value that a node may read.
fn needs(node: &NodeDraft) -> impl Iterator<Item = &Flow> {
    let substitutes = node.on_error.iter().flat_map(|o| o.values.iter().flatten());
    node.arguments.iter().map(|a| &a.flow).chain(substitutes)
}

impl Usage {
    fn need(&mut self, flow: &Flow, waiting: &mut Vec<usize>) {
        if let DraftSource::Node { node, output } = flow.source {
            if let Some(read) = self.read[node].get_mut(output) {
                *read = true;
            }
            if !std::mem::replace(&mut self.runs[node], true) {
                waiting.push(node);
            }
        }
    }
}
