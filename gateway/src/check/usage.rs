//! Usage: which nodes and inputs the outputs need.

use motet_config::{Diagnostic, nearest};

use super::checker::{Checker, DraftSource, Flow, NodeDraft, OutputDraft};
use crate::syntax::NodeSpec;

/// Which nodes run and which of their outputs are read, by index of their scope.
pub(crate) struct Usage {
    /// `true` if the outputs need the node, at least when another fails.
    pub(crate) runs: Vec<bool>,
    /// For each node, `true` for each of its outputs that is read.
    pub(crate) read: Vec<Vec<bool>>,
}

impl Usage {
    /// Returns the usage of nodes for these results.
    pub(crate) fn of<'f>(
        nodes: &[Option<NodeDraft>],
        results: impl Iterator<Item = &'f Flow>,
    ) -> Self {
        let mut usage = Self {
            runs: vec![false; nodes.len()],
            read: nodes
                .iter()
                .map(|n| vec![false; n.as_ref().map_or(0, |n| n.outputs.len())])
                .collect(),
        };
        let mut waiting: Vec<usize> = Vec::new();
        for flow in results {
            usage.need(&flow.source, &mut waiting);
        }
        while let Some(node) = waiting.pop() {
            for node in nodes[node].iter() {
                node.sources(&mut |source| usage.need(source, &mut waiting));
            }
        }
        usage
    }

    fn need(&mut self, source: &DraftSource, waiting: &mut Vec<usize>) {
        if let DraftSource::Node { node, output } = *source {
            if let Some(read) = self.read[node].get_mut(output) {
                *read = true;
            }
            if !std::mem::replace(&mut self.runs[node], true) {
                waiting.push(node);
            }
        }
    }
}

impl NodeDraft {
    /// Visits every value that the node may read.
    fn sources(&self, visit: &mut impl FnMut(&DraftSource)) {
        for argument in &self.arguments {
            visit(&argument.flow.source);
        }
        for substitute in self.on_error.iter().flat_map(|o| o.values.iter().flatten()) {
            visit(&substitute.source);
        }
        if let Some(when) = &self.when {
            when.sources(visit);
        }
    }
}

impl OutputDraft {
    /// The values of the output.
    pub(crate) fn flows(&self) -> Vec<&Flow> {
        match self {
            Self::Broken => Vec::new(),
            Self::Value(flow) => vec![flow],
            Self::Records { columns, .. } => columns.iter().map(|(_, flow)| flow).collect(),
        }
    }
}

impl Checker<'_> {
    /// Returns the usage of the pipeline's nodes for its outputs.
    pub(crate) fn usage(&self) -> Usage {
        let flows = self.outputs.iter().flat_map(OutputDraft::flows);
        Usage::of(&self.scope().drafts, flows)
    }

    /// Warns of unused inputs. Only meaningful when everything is known.
    pub(crate) fn warn_unused_inputs(&mut self) {
        for (input, draft) in self.spec.inputs.iter().zip(&self.inputs) {
            if !draft.used {
                self.diagnostics.push(Diagnostic::warning(
                    input.name.span,
                    format!("the input `{}` is not used", input.name.value),
                ));
            }
        }
    }

    /// Warns of unused nodes. Only meaningful when everything is known.
    pub(crate) fn warn_unused_nodes(&mut self, nodes: &[NodeSpec], usage: &Usage) {
        for (node, runs) in nodes.iter().zip(&usage.runs) {
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

    /// Checks that the substitutes of a failed node cover every output that is read.
    pub(crate) fn check_substitutes(
        &mut self,
        nodes: &[NodeSpec],
        drafts: &[Option<NodeDraft>],
        usage: &Usage,
    ) {
        for (index, draft) in drafts.iter().enumerate() {
            let Some(draft) = draft else { continue };
            let Some(on_error) = &draft.on_error else {
                continue;
            };
            for (output, port) in draft.outputs.iter().enumerate() {
                // A slip of the output's name was reported as such.
                let written = nodes[index].on_error.as_ref().is_some_and(|o| {
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
