//! References by name, and the order that follows from them.

use motet_runtime::config::{Diagnostic, Span, Spanned};

use super::state::Checker;
use crate::spec::{NodeSpec, OutputValue, Reference, Value};

/// What a reference leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Input(usize),
    Node(usize),
}

/// A need of one node for another.
#[derive(Debug, Clone, Copy)]
struct Need {
    node: usize,
    at: Span,
}

impl Checker<'_> {
    /// What a reference leads to, or the report that it leads nowhere.
    pub(super) fn target(&self, reference: &Reference) -> Result<Target, Box<Diagnostic>> {
        let name = &reference.target;
        let input = self.names.inputs.get(name.value.as_str()).copied();
        let node = self.names.nodes.get(name.value.as_str()).copied();
        match (input, node, &reference.port) {
            (Some(input), _, None) => Ok(Target::Input(input)),
            (_, Some(node), _) => Ok(Target::Node(node)),
            (Some(_), None, Some(port)) => Err(Box::new(
                Diagnostic::error(
                    port.span,
                    format!("`{}` is an input and has no outputs", name.value),
                )
                .help(format!("write `${}`", name.value)),
            )),
            (None, None, port) => {
                let nodes = self.spec.nodes.iter().map(|n| n.name.value.as_str());
                let inputs = self.spec.inputs.iter().map(|i| i.name.value.as_str());
                let what = if port.is_some() {
                    "node"
                } else {
                    "input or node"
                };
                Err(Box::new(
                    Diagnostic::error(
                        name.span,
                        format!(
                            "no {what} is named `{}`",
                            motet_runtime::config::shown(&name.value)
                        ),
                    )
                    .suggest(&name.value, inputs.filter(|_| port.is_none()).chain(nodes)),
                ))
            }
        }
    }

    /// Every reference must lead somewhere.
    pub(super) fn check_targets(&mut self) {
        let mut references: Vec<&Reference> = Vec::new();
        for node in &self.spec.nodes {
            self.incomplete |= node.kind.is_none() || node.unreadable;
            for value in values(node) {
                match &value.value {
                    Value::Reference(reference) => references.push(reference),
                    Value::Broken => self.incomplete = true,
                    Value::Literal(_) => {}
                }
            }
        }
        for output in &self.spec.outputs {
            match &output.value {
                Some(OutputValue::Single(reference)) => references.push(&reference.value),
                Some(OutputValue::Records(columns)) => {
                    for column in columns {
                        match &column.value {
                            Some(reference) => references.push(&reference.value),
                            None => self.incomplete = true,
                        }
                    }
                }
                None => self.incomplete = true,
            }
        }
        for reference in references {
            match self.target(reference) {
                Ok(Target::Input(input)) => self.inputs[input].used = true,
                Ok(Target::Node(_)) => {}
                Err(diagnostic) => {
                    self.diagnostics.push(*diagnostic);
                    self.incomplete = true;
                }
            }
        }
    }

    /// Every node once, each after what it needs, in the file's order where that leaves a choice.
    /// Cycles are reported; their nodes are in the list all the same.
    pub(super) fn order(&mut self) -> Vec<usize> {
        let needs: Vec<Vec<Need>> = self.spec.nodes.iter().map(|n| self.needs(n)).collect();
        let mut walk = Walk {
            needs: &needs,
            states: vec![State::New; needs.len()],
            path: Vec::new(),
            order: Vec::new(),
            cycles: Vec::new(),
        };
        for node in 0..needs.len() {
            walk.visit(node);
        }
        let Walk { order, cycles, .. } = walk;
        for (cycle, closing) in cycles {
            self.report_cycle(&cycle, closing);
        }
        order
    }

    fn needs(&self, node: &NodeSpec) -> Vec<Need> {
        let inputs = node.inputs.iter().map(|a| &a.value);
        let substitutes = node
            .on_error
            .iter()
            .flat_map(|o| o.substitutes.iter().map(|s| &s.value));
        inputs
            .chain(substitutes)
            .filter_map(|value| match &value.value {
                Value::Reference(reference) => match self.target(reference) {
                    Ok(Target::Node(node)) => Some(Need {
                        node,
                        at: value.span,
                    }),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    fn report_cycle(&mut self, cycle: &[usize], closing: Span) {
        self.incomplete = true;
        let name = |node: &usize| self.spec.nodes[*node].name.value.as_str();
        let mut path: Vec<&str> = cycle.iter().map(name).collect();
        path.extend(cycle.first().map(name));
        let message = match cycle {
            [only] => format!("node `{}` needs its own output", name(only)),
            _ => format!("these nodes wait for each other: {}", path.join(" -> ")),
        };
        let mut diagnostic = Diagnostic::error(closing, message);
        if cycle.len() > 1 {
            diagnostic = diagnostic
                .label("this closes the circle")
                .note("`a -> b` reads: `a` needs an output of `b`");
        }
        self.diagnostics.push(diagnostic);
    }
}

/// The values of a node that may be references.
fn values(node: &NodeSpec) -> impl Iterator<Item = &Spanned<Value>> {
    let substitutes = node.on_error.iter().flat_map(|o| &o.substitutes);
    node.inputs
        .iter()
        .chain(&node.settings)
        .chain(substitutes)
        .map(|named| &named.value)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnPath,
    Done,
}

/// A depth-first walk.
struct Walk<'a> {
    needs: &'a [Vec<Need>],
    states: Vec<State>,
    path: Vec<usize>,
    order: Vec<usize>,
    cycles: Vec<(Vec<usize>, Span)>,
}

impl Walk<'_> {
    /// Visits a node after all that it needs. Without recursion: a file may hold a chain of any
    /// length.
    fn visit(&mut self, start: usize) {
        if self.states[start] != State::New {
            return;
        }
        let mut stack = vec![(start, 0)];
        self.enter(start);
        while let Some((node, next)) = stack.last_mut() {
            let (node, need) = (*node, self.needs[*node].get(*next).copied());
            *next += 1;
            match need {
                None => {
                    stack.pop();
                    self.path.pop();
                    self.states[node] = State::Done;
                    self.order.push(node);
                }
                Some(need) => match self.states[need.node] {
                    State::New => {
                        self.enter(need.node);
                        stack.push((need.node, 0));
                    }
                    State::OnPath => {
                        let from = self.path.iter().position(|n| *n == need.node).unwrap_or(0);
                        self.cycles.push((self.path[from..].to_vec(), need.at));
                    }
                    State::Done => {}
                },
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.states[node] = State::OnPath;
        self.path.push(node);
    }
}
