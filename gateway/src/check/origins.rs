//! Where the content of values comes from, so that a failure that it causes is blamed on the
//! caller only where the caller sent it.

use std::collections::BTreeSet;

use super::checked::{Node, SettingValue, Source};
use super::kind::NodeKind;

/// Where the content of a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// Only from the file.
    #[default]
    File,
    /// From these inputs of the pipeline, by index: as they were sent, or by way of ops and of
    /// nodes that choose between values.
    Caller(BTreeSet<usize>),
    /// At least in part from a model, a method or another pipeline.
    Computed,
}

impl Origin {
    /// The origin of a value that is made of two others.
    fn join(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Computed, _) | (_, Self::Computed) => Self::Computed,
            (Self::File, other) => other.clone(),
            (own, Self::File) => own,
            (Self::Caller(mut own), Self::Caller(other)) => {
                own.extend(other);
                Self::Caller(own)
            }
        }
    }

    fn of_all<'o>(origins: impl IntoIterator<Item = &'o Self>) -> Self {
        origins.into_iter().fold(Self::File, Self::join)
    }
}

/// Sets the origin of every argument of a pipeline's nodes.
pub(super) fn assign(nodes: &mut [Node], inputs: usize) {
    let inputs: Vec<Origin> = (0..inputs).map(|i| Origin::Caller([i].into())).collect();
    of_nodes(nodes, &inputs);
}

/// The origins of each node's outputs, where [`Source::Input`] has these origins.
fn of_nodes(nodes: &mut [Node], inputs: &[Origin]) -> Vec<Vec<Origin>> {
    let mut outputs: Vec<Vec<Origin>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        for argument in &mut node.inputs {
            argument.origin = of_source(&argument.source, inputs, &outputs);
        }
        let mut own = of_outputs(node, inputs);
        for (origin, value) in own
            .iter_mut()
            .zip(node.on_error.iter().flat_map(|o| &o.values))
        {
            if let Some(value) = value {
                let substitute = of_source(&value.source, inputs, &outputs);
                *origin = std::mem::take(origin).join(&substitute);
            }
        }
        outputs.push(own);
    }
    outputs
}

fn of_source(source: &Source, inputs: &[Origin], outputs: &[Vec<Origin>]) -> Origin {
    let found = match source {
        Source::Input(input) => inputs.get(*input),
        Source::Node { node, output } => outputs.get(*node).and_then(|o| o.get(*output)),
        Source::Literal(_) => Some(&Origin::File),
    };
    found.cloned().unwrap_or(Origin::Computed)
}

/// The origins of the outputs of a node whose arguments have theirs.
fn of_outputs(node: &mut Node, inputs: &[Origin]) -> Vec<Origin> {
    let arguments: Vec<Origin> = node.inputs.iter().map(|a| a.origin.clone()).collect();
    let count = node.outputs.len();
    match &mut node.kind {
        NodeKind::Model(_) | NodeKind::Grpc(_) | NodeKind::Pipeline(_) => {
            vec![Origin::Computed; count]
        }
        NodeKind::Op(op) => {
            let settings = node.parameters.iter().filter_map(|s| match &s.value {
                SettingValue::Input { input, .. } => inputs.get(*input),
                SettingValue::Literal(_) => None,
            });
            let settings = Origin::of_all(settings);
            let of_output = |output| {
                let made_of = op.op().inputs_of(output, arguments.len());
                Origin::of_all(made_of.iter().filter_map(|i| arguments.get(*i))).join(&settings)
            };
            (0..count).map(of_output).collect()
        }
        kind => {
            let mut outputs = vec![Origin::File; count];
            for body in kind.arms_mut() {
                let nodes = of_nodes(&mut body.nodes, &arguments);
                let results: Vec<Origin> = body
                    .results
                    .iter()
                    .map(|source| match source {
                        Some(source) => of_source(source, &arguments, &nodes),
                        None => Origin::File,
                    })
                    .collect();
                // A combination may have other outputs than its arms.
                let all = Origin::of_all(&results);
                for (index, output) in outputs.iter_mut().enumerate() {
                    let result = match results.len() == count {
                        true => &results[index],
                        false => &all,
                    };
                    *output = std::mem::take(output).join(result);
                }
            }
            outputs
        }
    }
}
