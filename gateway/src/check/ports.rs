//! Arguments against the ports of what a node calls, and what comes out: symbols are bound to the
//! lengths that arrive, a scalar for a list port is a single row, and results follow.

use std::collections::HashMap;

use motet_config::{Diagnostic, Spanned};
use motet_proto::types::{Dim, TensorType};

use super::callee::{Callee, CalleePort};
use super::checker::{ArgumentDraft, Checker, Flow, FlowType, OutputPort};
use super::dims::{DimId, FactOrigin};
use super::value::flows_into;
use crate::syntax::{Named, NodeSpec, Value};

/// The symbols of a callee, bound to the dimensions of this call.
#[derive(Default)]
struct Symbols {
    bound: HashMap<String, Binding>,
}

struct Binding {
    dim: DimId,
    /// The port that bound it first.
    port: String,
}

/// A port whose argument has one dimension less.
struct Lifted<'a> {
    symbol: String,
    port: &'a str,
}

impl Checker<'_> {
    /// Holds each argument against its port and works out the types of the outputs.
    pub(crate) fn ports(
        &mut self,
        node: &NodeSpec,
        callee: &Callee,
        flows: Vec<Option<Flow>>,
    ) -> (Vec<ArgumentDraft>, Vec<OutputPort>) {
        let mut symbols = Symbols::default();
        let mut lifted: Vec<Lifted<'_>> = Vec::new();
        let mut arguments = Vec::with_capacity(callee.inputs.len());
        let mut flows: Vec<(&Named<Spanned<Value>>, Option<Flow>)> =
            node.inputs.iter().zip(flows).collect();
        for port in &callee.inputs {
            let argument = flows.iter_mut().find(|(a, _)| a.name.value == port.name);
            let (Some((argument, flow)), Some(ty)) = (argument, &port.ty) else {
                continue;
            };
            let flow = match &argument.value.value {
                Value::Literal(literal) => {
                    let what = format!("`{}`", port.name);
                    self.literal(literal, ty.element, &what, argument.value.span)
                }
                _ => flow.take(),
            };
            let Some(flow) = flow else { continue };
            if !port.optional
                && let Value::Reference(reference) = &argument.value.value
            {
                let what = format!("`{}` of {}", port.name, callee.name);
                let span = argument.value.span;
                self.is_present(&flow, &reference.to_string(), span, &what);
            }
            if let Some(single_row) = self.fits(callee, port, ty, argument, &flow, &mut symbols) {
                if let (true, Some(Dim::Symbol(symbol))) = (single_row, ty.dims.first()) {
                    lifted.push(Lifted {
                        symbol: symbol.clone(),
                        port: &port.name,
                    });
                }
                arguments.push(ArgumentDraft {
                    port: port.name.clone(),
                    element: ty.element,
                    flow,
                    single_row,
                });
            }
        }
        self.all_or_none_lifted(node, callee, &lifted, &mut symbols);
        let outputs = self.results(node, callee, &lifted, &symbols);
        (arguments, outputs)
    }

    /// Checks that a value fits a port, and returns whether it is a single row; `None` if it does
    /// not fit, which is reported.
    fn fits(
        &mut self,
        callee: &Callee,
        port: &CalleePort,
        ty: &TensorType,
        argument: &Named<Spanned<Value>>,
        flow: &Flow,
        symbols: &mut Symbols,
    ) -> Option<bool> {
        let span = argument.value.span;
        let shown_type = self.show(&flow.ty);
        let rank = flow.ty.dims.len();
        let single_row = callee.takes_single_rows
            && rank + 1 == ty.rank()
            && matches!(ty.dims.first(), Some(Dim::Symbol(_)));
        let wrong_element = !flows_into(flow.ty.element, ty.element);
        if wrong_element || !(single_row || rank == ty.rank()) {
            self.incomplete = true;
            let mut diagnostic = Diagnostic::error(
                span,
                format!(
                    "`{}` of {} takes {ty}, not {shown_type}",
                    port.name, callee.name
                ),
            )
            .label(format!("this is {shown_type}"));
            if wrong_element {
                if flow.ty.element.is_number() && ty.element.is_number() {
                    diagnostic = diagnostic.note("numbers are not converted between types");
                }
            } else if rank > ty.rank() && callee.is_remote {
                diagnostic = diagnostic.help("a node of kind `map` runs it for each element");
            }
            if let Some(about) = &port.about {
                diagnostic = diagnostic.note(about.as_str());
            }
            self.diagnostics.push(diagnostic);
            return None;
        }
        let wanted = &ty.dims[usize::from(single_row)..];
        let mut fits = true;
        for (value, dim) in flow.ty.dims.iter().zip(wanted) {
            let label = format!("this is {shown_type}");
            let takes = format!("`{}` of {} is {ty}", port.name, callee.name);
            match dim {
                Dim::Fixed(n) => {
                    let origin = FactOrigin {
                        span: callee.span,
                        words: takes.clone(),
                    };
                    let wanted = self.dims.fixed(*n, origin);
                    fits &= self.unify(*value, wanted, span, &label, "");
                }
                Dim::Symbol(symbol) => match symbols.bound.get(symbol) {
                    Some(binding) => {
                        let why = if binding.port == port.name {
                            takes
                        } else {
                            format!(
                                "{} wants one length `{symbol}` for `{}` and `{}`",
                                callee.name, binding.port, port.name
                            )
                        };
                        let wanted = binding.dim;
                        fits &= self.unify(*value, wanted, span, &label, &why);
                    }
                    None => {
                        symbols.bound.insert(
                            symbol.clone(),
                            Binding {
                                dim: *value,
                                port: port.name.clone(),
                            },
                        );
                    }
                },
            }
        }
        fits.then_some(single_row)
    }

    /// A call with one row has one row in every port that counts rows with the same symbol.
    fn all_or_none_lifted(
        &mut self,
        node: &NodeSpec,
        callee: &Callee,
        lifted: &[Lifted<'_>],
        symbols: &mut Symbols,
    ) {
        for single_row in lifted {
            let Some(binding) = symbols.bound.get(&single_row.symbol) else {
                continue;
            };
            self.incomplete = true;
            let at = |port: &str| node.inputs.iter().find(|a| a.name.value == port);
            let (Some(scalar), Some(list)) = (at(single_row.port), at(&binding.port)) else {
                continue;
            };
            self.diagnostics.push(
                Diagnostic::error(
                    scalar.value.span,
                    format!(
                        "`{}` has one element and `{}` has many, but {} wants one length `{}` for \
                         both",
                        single_row.port, binding.port, callee.name, single_row.symbol
                    ),
                )
                .also(list.value.span, "the other"),
            );
        }
        // Where the symbol stands elsewhere it is the 1 that is sent.
        for single_row in lifted {
            let origin = FactOrigin {
                span: callee.span,
                words: "one row".to_owned(),
            };
            let dim = self.dims.fixed(1, origin);
            symbols
                .bound
                .entry(single_row.symbol.clone())
                .or_insert_with(|| Binding {
                    dim,
                    port: single_row.port.to_owned(),
                });
        }
    }

    fn results(
        &mut self,
        node: &NodeSpec,
        callee: &Callee,
        lifted: &[Lifted<'_>],
        symbols: &Symbols,
    ) -> Vec<OutputPort> {
        let mut fresh: HashMap<String, DimId> = HashMap::new();
        let leading: Vec<&str> = callee.outputs.iter().filter_map(leading_symbol).collect();
        // Symbols of inputs that could not be bound: what has them is not known.
        let unbound = |symbol: &str| {
            !symbols.bound.contains_key(symbol) && callee.inputs.iter().any(|p| mentions(p, symbol))
        };
        let mut outputs = Vec::with_capacity(callee.outputs.len());
        for port in &callee.outputs {
            let single_row =
                leading_symbol(port).is_some_and(|s| lifted.iter().any(|l| l.symbol == s));
            let mut ty = None;
            if let Some(port_type) = &port.ty {
                let origin = FactOrigin {
                    span: callee.span,
                    words: format!("`{}` of {} is {port_type}", port.name, callee.name),
                };
                let mut dims = Some(Vec::with_capacity(port_type.rank()));
                for dim in &port_type.dims[usize::from(single_row)..] {
                    let id = match dim {
                        Dim::Fixed(n) => Some(self.dims.fixed(*n, origin.clone())),
                        Dim::Symbol(s) if unbound(s) => None,
                        Dim::Symbol(s) => Some(match symbols.bound.get(s) {
                            Some(binding) => binding.dim,
                            None => *fresh.entry(s.clone()).or_insert_with(|| {
                                let name = format!("{}.{s}", node.name.value);
                                // How many there are is this node's doing; how long each is may be
                                // anything that the server did not state.
                                if leading.contains(&s.as_str()) {
                                    self.dims.rigid(name, origin.clone())
                                } else {
                                    self.dims.flexible(name)
                                }
                            }),
                        }),
                    };
                    match (&mut dims, id) {
                        (Some(dims), Some(id)) => dims.push(id),
                        _ => dims = None,
                    }
                }
                ty = dims.map(|dims| FlowType {
                    element: port_type.element,
                    dims,
                });
            }
            self.incomplete |= ty.is_none();
            outputs.push(OutputPort {
                name: port.name.clone(),
                ty,
                single_row,
                optional: port.optional,
            });
        }
        outputs
    }
}

fn leading_symbol(port: &CalleePort) -> Option<&str> {
    match port.ty.as_ref()?.dims.first()? {
        Dim::Symbol(symbol) => Some(symbol),
        Dim::Fixed(_) => None,
    }
}

fn mentions(port: &CalleePort, symbol: &str) -> bool {
    port.ty.as_ref().is_some_and(|ty| {
        ty.dims
            .iter()
            .any(|dim| matches!(dim, Dim::Symbol(s) if s == symbol))
    })
}
