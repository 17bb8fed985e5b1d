//! From what the check knows to plain data with indices.

use std::collections::HashMap;

use super::checked::{
    Argument, CheckedPipeline, Column, Deadline, Input, Length, Node, OnError, Output, OutputKind,
    Produced, Source, Substitute, Symbol, SymbolId, ValueType,
};
use super::dims::{DimId, DimTable};
use super::flow::checks_utf8;
use super::state::{Checker, DraftSource, Flow, FlowType, NodeDraft, OutputDraft};
use super::usage::Usage;

impl Checker<'_> {
    /// The checked pipeline; `None` when anything is not known.
    pub(super) fn build(mut self, order: &[usize], usage: &Usage) -> Option<CheckedPipeline> {
        if self.incomplete {
            return None;
        }
        let order: Vec<usize> = order.iter().copied().filter(|n| usage.runs[*n]).collect();
        let mut builder = Builder {
            dims: std::mem::take(&mut self.dims),
            symbols: Vec::new(),
            symbol_ids: HashMap::new(),
            positions: order.iter().enumerate().map(|(i, n)| (*n, i)).collect(),
        };
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for draft in self.inputs {
            let ty = builder.ty(&draft.ty?);
            inputs.push(Input { ty, ..draft.input? });
        }
        let mut nodes = Vec::with_capacity(order.len());
        for index in &order {
            let name = self.spec.nodes[*index].name.value.clone();
            nodes.push(builder.node(name, self.nodes[*index].take()?, &usage.read[*index])?);
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (spec, draft) in self.spec.outputs.iter().zip(self.outputs) {
            let name = spec.name.value.clone();
            let kind = match draft {
                OutputDraft::Broken => return None,
                OutputDraft::Value(flow) => OutputKind::Value(builder.column(name.clone(), flow)?),
                OutputDraft::Records { columns, length } => OutputKind::Records {
                    columns: columns
                        .into_iter()
                        .map(|(name, flow)| builder.column(name, flow))
                        .collect::<Option<_>>()?,
                    length: builder.length(length),
                },
            };
            outputs.push(Output { name, kind });
        }
        Some(CheckedPipeline {
            name: self.spec.name.value.clone(),
            version: self.spec.version,
            description: self.spec.description.clone(),
            inputs,
            nodes,
            outputs,
            symbols: builder.symbols,
            deadline: Deadline {
                default: self.spec.deadline.default,
                max: self.spec.deadline.max,
            },
        })
    }
}

struct Builder {
    dims: DimTable,
    symbols: Vec<Symbol>,
    symbol_ids: HashMap<String, SymbolId>,
    /// From the index of a node in the spec to its index in the plan.
    positions: HashMap<usize, usize>,
}

impl Builder {
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

    fn source(&self, source: DraftSource) -> Option<Source> {
        Some(match source {
            DraftSource::Input(input) => Source::Input(input),
            DraftSource::Literal(literal) => Source::Literal(literal),
            DraftSource::Node { node, output } => Source::Node {
                node: *self.positions.get(&node)?,
                output,
            },
        })
    }

    fn column(&mut self, name: String, flow: Flow) -> Option<Column> {
        Some(Column {
            name,
            ty: self.ty(&flow.ty),
            source: self.source(flow.source)?,
        })
    }

    fn node(&mut self, name: String, draft: NodeDraft, read: &[bool]) -> Option<Node> {
        let mut inputs = Vec::with_capacity(draft.arguments.len());
        for argument in draft.arguments {
            let ty = self.ty(&argument.flow.ty);
            inputs.push(Argument {
                port: argument.port,
                element: argument.element,
                check_utf8: checks_utf8(ty.element, argument.element),
                ty,
                source: self.source(argument.flow.source)?,
                lift: argument.lift,
            });
        }
        let mut outputs = Vec::with_capacity(draft.outputs.len());
        for (port, used) in draft.outputs.into_iter().zip(read) {
            outputs.push(Produced {
                name: port.name,
                ty: self.ty(&port.ty?),
                lift: port.lift,
                used: *used,
            });
        }
        let on_error = match draft.on_error {
            None => None,
            Some(on_error) => {
                let mut values = Vec::with_capacity(outputs.len());
                for (value, output) in on_error.values.into_iter().zip(&outputs) {
                    values.push(match value {
                        Some(flow) => Some(self.substitute(flow, output)?),
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
        Some(Node {
            name,
            kind: draft.kind,
            dependencies: nodes_of(inputs.iter().map(|a| &a.source)),
            inputs,
            outputs,
            parameters: draft.settings,
            policies: draft.policies,
            on_error,
        })
    }

    fn substitute(&mut self, flow: Flow, output: &Produced) -> Option<Substitute> {
        let ty = self.ty(&flow.ty);
        Some(Substitute {
            check_utf8: checks_utf8(ty.element, output.ty.element),
            ty,
            source: self.source(flow.source)?,
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
