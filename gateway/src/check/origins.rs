//! Where the content of values comes from, so that a failure that it causes is blamed on the
//! caller only where the caller sent it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::checked::{Body, Node, SettingValue, Source};

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
    pub(crate) fn join(self, other: &Self) -> Self {
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

    /// Returns the origin of a value that is made of all of these.
    pub(crate) fn of_all<'o>(origins: impl IntoIterator<Item = &'o Self>) -> Self {
        origins.into_iter().fold(Self::File, Self::join)
    }
}

/// Sets the origin of every argument of a pipeline's nodes.
pub(crate) fn assign(nodes: &mut [Arc<Node>], inputs: usize) {
    let inputs: Vec<Origin> = (0..inputs).map(|i| Origin::Caller([i].into())).collect();
    of_nodes(nodes, &inputs);
}

/// The origins of each node's outputs, where [`Source::Input`] has these origins.
fn of_nodes(nodes: &mut [Arc<Node>], inputs: &[Origin]) -> Vec<Vec<Origin>> {
    let mut outputs: Vec<Vec<Origin>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        // Nobody shares the nodes yet, so none is copied.
        let node = Arc::make_mut(node);
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

/// The origins of values that the outputs of a node may be made of.
pub(crate) struct OriginScope<'a> {
    /// Those of the node's arguments.
    pub arguments: &'a [Origin],
    /// That of all settings together that a request gives.
    pub settings: Origin,
    /// The number of the node's outputs.
    pub outputs: usize,
}

impl OriginScope<'_> {
    /// Returns the origins of outputs that are computed elsewhere.
    pub(crate) fn computed(&self) -> Vec<Origin> {
        vec![Origin::Computed; self.outputs]
    }
}

fn of_outputs(node: &mut Node, inputs: &[Origin]) -> Vec<Origin> {
    let arguments: Vec<Origin> = node.inputs.iter().map(|a| a.origin.clone()).collect();
    let settings = node.parameters.iter().filter_map(|s| match &s.value {
        SettingValue::Input { input, .. } => inputs.get(*input),
        SettingValue::Literal(_) => None,
    });
    let outer = OriginScope {
        arguments: &arguments,
        settings: Origin::of_all(settings),
        outputs: node.outputs.len(),
    };
    node.kind.checked_mut().output_origins(&outer)
}

/// Sets the origins of the arguments inside bodies, and returns those of the outputs of the node
/// that gives what one of these bodies gives, or something made of it.
pub(crate) fn of_bodies(bodies: Vec<&mut Body>, outer: &OriginScope<'_>) -> Vec<Origin> {
    let mut outputs = vec![Origin::File; outer.outputs];
    for body in bodies {
        let nodes = of_nodes(&mut body.nodes, outer.arguments);
        let results: Vec<Origin> = body
            .results
            .iter()
            .map(|source| match source {
                Some(source) => of_source(source, outer.arguments, &nodes),
                None => Origin::File,
            })
            .collect();
        // A combination may have other outputs than its arms.
        let all = Origin::of_all(&results);
        for (index, output) in outputs.iter_mut().enumerate() {
            let result = match results.len() == outer.outputs {
                true => &results[index],
                false => &all,
            };
            *output = std::mem::take(output).join(result);
        }
    }
    outputs
}
