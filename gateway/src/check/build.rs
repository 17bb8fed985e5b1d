//! From what the check knows to plain data with indices.

use std::collections::HashMap;
use std::sync::Arc;

use super::checked::{
    Argument, Body, CheckedPipeline, Column, Condition, DeadlineLimits, Input, Length, Node,
    NodeOutput, OnError, Output, OutputKind, Source, Substitute, Symbol, SymbolId, ValueType,
};
use super::checker::{
    BodyDraft, Checker, DraftSource, Flow, FlowType, NodeDraft, OutputDraft, ResultDraft,
};
use super::composition::Composition;
use super::dims::{DimId, DimTable};
use super::kind::BuildKind;
use super::origins::{self, Origin};
use super::usage::Usage;
use super::value::checks_utf8;

impl Checker<'_> {
    /// The checked pipeline; `None` when anything is not known.
    pub(crate) fn build(mut self, order: &[usize], usage: &Usage) -> Option<CheckedPipeline> {
        if self.incomplete {
            return None;
        }
        let mut builder = Builder {
            dims: std::mem::take(&mut self.dims),
            symbols: Vec::new(),
            symbol_ids: HashMap::new(),
        };
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for draft in std::mem::take(&mut self.inputs) {
            let ty = builder.ty(&draft.ty?);
            inputs.push(Input { ty, ..draft.input? });
        }
        let scope = self.scopes.pop()?;
        let names = scope.nodes.iter().map(|n| n.name.value.clone()).collect();
        let (mut nodes, positions) = builder.nodes(names, scope.drafts, order, usage)?;
        origins::assign(&mut nodes, inputs.len());
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (spec, draft) in self.spec.outputs.iter().zip(self.outputs) {
            let name = spec.name.value.clone();
            let kind = match draft {
                OutputDraft::Broken => return None,
                OutputDraft::Value(flow) => {
                    OutputKind::Value(builder.column(name.clone(), flow, &positions)?)
                }
                OutputDraft::Records { columns, length } => OutputKind::Records {
                    columns: columns
                        .into_iter()
                        .map(|(name, flow)| builder.column(name, flow, &positions))
                        .collect::<Option<_>>()?,
                    length: builder.length(length),
                },
            };
            outputs.push(Output { name, kind });
        }
        Some(CheckedPipeline {
            // Added by the caller, which can look up the pipelines that this one calls.
            composition: Composition::default(),
            name: self.spec.name.value.clone(),
            version: self.spec.version,
            description: self.spec.description.clone(),
            inputs,
            nodes,
            outputs,
            symbols: builder.symbols,
            deadline: DeadlineLimits {
                default: self.spec.deadline.default,
                max: self.spec.deadline.max,
            },
        })
    }
}

/// From the index of a node in its scope to its index among the nodes that run.
struct Positions(HashMap<usize, usize>);

impl Positions {
    fn source(&self, source: DraftSource) -> Option<Source> {
        Some(match source {
            DraftSource::Input(input) => Source::Input(input),
            DraftSource::Literal(literal) => Source::Literal(literal),
            DraftSource::Node { node, output } => Source::Node {
                node: *self.0.get(&node)?,
                output,
            },
        })
    }
}

/// Builds plain data with indices from drafts.
pub(crate) struct Builder {
    dims: DimTable,
    symbols: Vec<Symbol>,
    symbol_ids: HashMap<String, SymbolId>,
}

impl Builder {
    /// The nodes that run, in their order.
    fn nodes(
        &mut self,
        names: Vec<String>,
        mut drafts: Vec<Option<NodeDraft>>,
        order: &[usize],
        usage: &Usage,
    ) -> Option<(Vec<Arc<Node>>, Positions)> {
        let order: Vec<usize> = order.iter().copied().filter(|n| usage.runs[*n]).collect();
        let positions = Positions(order.iter().enumerate().map(|(i, n)| (*n, i)).collect());
        let mut nodes = Vec::with_capacity(order.len());
        for index in order {
            let name = names.get(index)?.clone();
            let read = &usage.read[index];
            let node = self.node(name, drafts[index].take()?, read, &positions)?;
            nodes.push(Arc::new(node));
        }
        Some((nodes, positions))
    }

    /// A body, of which those results are read that are for an output that is.
    pub(crate) fn body(&mut self, draft: BodyDraft, read: &[bool]) -> Option<Body> {
        let needed = |result: &ResultDraft| match result.output {
            Some(output) => read.get(output).copied().unwrap_or(false),
            None => true,
        };
        let flows = draft.results.iter().filter(|r| needed(r)).map(|r| &r.flow);
        let usage = Usage::of(&draft.nodes, flows);
        let (nodes, positions) = self.nodes(draft.names, draft.nodes, &draft.order, &usage)?;
        let mut results = Vec::with_capacity(draft.results.len());
        for result in draft.results {
            results.push(if needed(&result) {
                Some(positions.source(result.flow.source)?)
            } else {
                None
            });
        }
        Some(Body {
            name: draft.name,
            nodes,
            results,
        })
    }

    /// Returns bodies, of which those results are read that are for an output that is.
    pub(crate) fn bodies(&mut self, drafts: Vec<BodyDraft>, read: &[bool]) -> Option<Vec<Body>> {
        drafts.into_iter().map(|d| self.body(d, read)).collect()
    }

    /// Returns a condition of a node's own, which reads the node's arguments.
    pub(crate) fn own_condition(
        &self,
        condition: Condition<DraftSource>,
    ) -> Option<Condition<Source>> {
        // OuterScope a node there is nothing but its arguments.
        let outer = Positions(HashMap::new());
        condition.try_map(&|source| outer.source(source))
    }

    fn length(&mut self, id: DimId) -> Length {
        let known = self.dims.known(id);
        match (known.name, known.fixed) {
            (None, Some(n)) => Length::Fixed(n),
            (name, fixed) => {
                let name = name.unwrap_or_else(|| format!("S{}", self.symbols.len()));
                let next = SymbolId(self.symbols.len());
                let id = *self.symbol_ids.entry(name.clone()).or_insert(next);
                if id == next {
                    self.symbols.push(Symbol { name, fixed });
                }
                Length::Symbol(id)
            }
        }
    }

    fn ty(&mut self, ty: &FlowType) -> ValueType {
        ValueType {
            element: ty.element,
            dims: ty.dims.iter().map(|d| self.length(*d)).collect(),
        }
    }

    fn column(&mut self, name: String, flow: Flow, positions: &Positions) -> Option<Column> {
        Some(Column {
            name,
            ty: self.ty(&flow.ty),
            source: positions.source(flow.source)?,
            optional: flow.optional,
        })
    }

    fn node(
        &mut self,
        name: String,
        draft: NodeDraft,
        read: &[bool],
        positions: &Positions,
    ) -> Option<Node> {
        let mut inputs = Vec::with_capacity(draft.arguments.len());
        for argument in draft.arguments {
            let ty = self.ty(&argument.flow.ty);
            inputs.push(Argument {
                port: argument.port,
                element: argument.element,
                check_utf8: checks_utf8(ty.element, argument.element),
                ty,
                source: positions.source(argument.flow.source)?,
                single_row: argument.single_row,
                origin: Origin::default(),
                optional: argument.flow.optional,
            });
        }
        let mut outputs = Vec::with_capacity(draft.outputs.len());
        for (port, used) in draft.outputs.into_iter().zip(read) {
            outputs.push(NodeOutput {
                name: port.name,
                ty: self.ty(&port.ty?),
                single_row: port.single_row,
                used: *used,
                optional: port.optional,
            });
        }
        let on_error = match draft.on_error {
            None => None,
            Some(on_error) => {
                let mut values = Vec::with_capacity(outputs.len());
                for (value, output) in on_error.values.into_iter().zip(&outputs) {
                    values.push(match value {
                        Some(flow) => Some(self.substitute(flow, output, positions)?),
                        None => None,
                    });
                }
                let sources = values.iter().flatten().map(|v: &Substitute| &v.source);
                Some(OnError {
                    dependencies: nodes_of(sources),
                    values,
                    mark_degraded: on_error.mark_degraded,
                })
            }
        };
        let when = match draft.when {
            Some(when) => Some(when.try_map(&|s| positions.source(s))?),
            None => None,
        };
        let mut sources: Vec<Source> = inputs.iter().map(|a| a.source.clone()).collect();
        if let Some(when) = &when {
            when.sources(&mut |source| sources.push(source.clone()));
        }
        Some(Node {
            name,
            kind: draft.kind.build(self, read)?,
            when,
            dependencies: nodes_of(sources.iter()),
            inputs,
            outputs,
            parameters: draft.settings,
            policies: draft.policies,
            on_error,
        })
    }

    fn substitute(
        &mut self,
        flow: Flow,
        output: &NodeOutput,
        positions: &Positions,
    ) -> Option<Substitute> {
        let ty = self.ty(&flow.ty);
        Some(Substitute {
            check_utf8: checks_utf8(ty.element, output.ty.element),
            ty,
            source: positions.source(flow.source)?,
        })
    }
}

/// The nodes among some sources: ascending, each once.
fn nodes_of<'a>(sources: impl Iterator<Item = &'a Source>) -> Vec<usize> {
    let mut nodes: Vec<usize> = sources
        .filter_map(|source| match source {
            Source::Node { node, .. } => Some(*node),
            Source::Input(_) | Source::Literal(_) => None,
        })
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
