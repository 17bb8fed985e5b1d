//! References by name, and the order that follows from them.

use motet_config::{Diagnostic, Span, nearest, truncated};

use super::checker::Checker;
use super::references;
use crate::syntax::{NodeSpec, Reference, Value};

/// The target of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// An input of the pipeline.
    Input(usize),
    /// An element of a `map`, by scope and capture.
    Element { scope: usize, capture: usize },
    /// A node, by scope and index.
    Node { scope: usize, node: usize },
}

/// A need of one node for another.
#[derive(Debug, Clone, Copy)]
struct Need {
    node: usize,
    at: Span,
}

impl<'a> Checker<'a> {
    /// Returns the target of a reference.
    ///
    /// # Errors
    /// The report of a reference that has none.
    pub(crate) fn target(&self, reference: &Reference) -> Result<Target, Box<Diagnostic>> {
        match reference.without_sigil {
            Some(what) => Err(self.missing_sigil(what, reference)),
            None => self.lookup(reference),
        }
    }

    /// Reports a text where a reference must be. It suggests only what there is.
    fn missing_sigil(&self, what: &str, reference: &Reference) -> Box<Diagnostic> {
        let name = &reference.target.value;
        let message = format!("{what} must be a reference, not a string");
        let diagnostic = Diagnostic::error(reference.target.span, message);
        let port = reference.port.as_ref();
        let port = port.map_or(String::new(), |port| format!(".{}", truncated(&port.value)));
        let known = match self.lookup(reference) {
            Ok(_) => Some(name.as_str()),
            Err(_) => nearest(name, self.names(reference)),
        };
        Box::new(diagnostic.help(match known {
            Some(known) => format!("did you mean `${known}{port}`?"),
            None => format!(
                "for a fixed value, add a node such as `fixed: {{ value: {{ text: {} }} }}`, \
                 and write `$fixed.text`",
                truncated(name)
            ),
        }))
    }

    /// The names that a reference with or without a port could mean.
    fn names(&self, reference: &Reference) -> Vec<&str> {
        let is_input = reference.port.is_none();
        let scopes = self.scopes.iter().rev().flat_map(|scope| {
            let nodes = scope.nodes.iter().map(|n| n.name.value.as_str());
            let elements = scope.elements.iter().copied();
            nodes.chain(elements.filter(|_| is_input))
        });
        let inputs = self.spec.inputs.iter().map(|i| i.name.value.as_str());
        let inputs = inputs.filter(|_| is_input);
        // The step of an arm has no name that could be written.
        inputs.chain(scopes.filter(|n| !n.contains('['))).collect()
    }

    fn lookup(&self, reference: &Reference) -> Result<Target, Box<Diagnostic>> {
        let name = &reference.target;
        let text = name.value.as_str();
        let input = self.input_names.get(text).copied();
        if let (Some(input), None) = (input, &reference.port) {
            return Ok(Target::Input(input));
        }
        for (index, scope) in self.scopes.iter().enumerate().rev() {
            if let Some(&node) = scope.names.get(text) {
                return Ok(Target::Node { scope: index, node });
            }
            if let Some(capture) = scope.elements.iter().position(|e| *e == text) {
                return match &reference.port {
                    None => Ok(Target::Element {
                        scope: index,
                        capture,
                    }),
                    Some(port) => Err(no_outputs("an element of the list", &name.value, port.span)),
                };
            }
        }
        match &reference.port {
            Some(port) if input.is_some() => Err(no_outputs("an input", &name.value, port.span)),
            port => {
                let what = if port.is_some() {
                    "node"
                } else {
                    "input or node"
                };
                Err(Box::new(
                    Diagnostic::error(
                        name.span,
                        format!("no {what} is named `{}`", truncated(&name.value)),
                    )
                    .suggest(&name.value, self.names(reference)),
                ))
            }
        }
    }

    /// Checks that every reference of the nodes of this scope, and each of `more`, has a target.
    /// Bodies are checked with their node.
    pub(crate) fn check_targets(&mut self, more: impl IntoIterator<Item = &'a Reference>) {
        let nodes: &'a [NodeSpec] = self.scope().nodes;
        let mut references = Vec::new();
        for node in nodes {
            self.incomplete |= node.kind.is_none() || node.unreadable || has_broken(node);
            references::of_node(node, &mut references);
        }
        let references = references.into_iter().map(|r| r.reference);
        let references: Vec<&Reference> = references.chain(more).collect();
        for reference in references {
            match self.target(reference) {
                Ok(Target::Input(input)) => self.inputs[input].used = true,
                Ok(Target::Node { .. } | Target::Element { .. }) => {}
                Err(diagnostic) => {
                    self.diagnostics.push(*diagnostic);
                    self.incomplete = true;
                }
            }
        }
    }

    /// Returns every node of this scope once, each after those that it needs, else in the file's
    /// order. Cycles are reported; their nodes are in the list all the same.
    pub(crate) fn order(&mut self) -> Vec<usize> {
        let nodes = self.scope().nodes;
        let needs: Vec<Vec<Need>> = nodes.iter().map(|n| self.needs(n)).collect();
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
        let mut found = Vec::new();
        references::of_node(node, &mut found);
        references::inside_node(node, &mut found);
        let names = &self.scope().names;
        // Nothing inside a node is named like a node around it.
        found
            .into_iter()
            .filter_map(|written| {
                let name = written.reference.target.value.as_str();
                let is_input =
                    written.reference.port.is_none() && self.input_names.contains_key(name);
                let node = *names.get(name).filter(|_| !is_input)?;
                Some(Need {
                    node,
                    at: written.span,
                })
            })
            .collect()
    }

    fn report_cycle(&mut self, cycle: &[usize], closing: Span) {
        self.incomplete = true;
        let name = |node: &usize| self.scope().nodes[*node].name.value.as_str();
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

fn no_outputs(what: &str, name: &str, at: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error(at, format!("`{name}` is {what} and has no outputs"))
            .help(format!("write `${name}`")),
    )
}

/// Returns `true` if a value of the node could not be read, which was reported.
fn has_broken(node: &NodeSpec) -> bool {
    let substitutes = node.on_error.iter().flat_map(|o| &o.substitutes);
    let mut values = node.inputs.iter().chain(&node.settings).chain(substitutes);
    let kind = node.kind.as_ref();
    let own = kind.is_some_and(|kind| kind.value.syntax().has_errors());
    own || values.any(|named| named.value.value == Value::Broken)
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
