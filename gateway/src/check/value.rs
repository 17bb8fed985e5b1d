//! Values that reach a port: what they are, and whether they fit.

use motet_config::{Diagnostic, Span, Spanned};
use motet_proto::types::ElementType;

use super::checker::{Captured, Checker, DraftSource, Flow, FlowType};
use super::dims::{Conflict, DimId, FactOrigin};
use super::graph::Target;
use super::kind::BuildKind;
use super::literal::fit;
use crate::syntax::{LiteralSpec, Reference};

impl Checker<'_> {
    /// The value that a reference leads to; `None` when it is not known, which was reported.
    pub(crate) fn flow(&mut self, reference: &Spanned<Reference>) -> Option<Flow> {
        let target = self.target(&reference.value).ok()?;
        self.flow_in(self.scopes.len() - 1, target, reference)
    }

    /// The value as a scope sees it: one from outside is taken in.
    fn flow_in(
        &mut self,
        scope: usize,
        target: Target,
        reference: &Spanned<Reference>,
    ) -> Option<Flow> {
        let written = reference.value.to_string();
        let mut flow = match target {
            Target::Node { scope: at, node } if at == scope => {
                self.output_of(at, node, reference)?
            }
            Target::Element { scope: at, capture } if at == scope => Flow {
                source: DraftSource::Input(capture),
                ty: self.scopes[at].captures[capture].ty.clone(),
                optional: false,
            },
            Target::Input(input) if scope == 0 => Flow {
                source: DraftSource::Input(input),
                ty: self.inputs[input].ty.clone()?,
                optional: self.spec.inputs[input].optional.is_some(),
            },
            _ => {
                let outer = self.flow_in(scope - 1, target, reference)?;
                let (ty, optional) = (outer.ty.clone(), outer.optional);
                let source = DraftSource::Input(self.capture(scope, &written, outer));
                Flow {
                    source,
                    ty,
                    optional,
                }
            }
        };
        flow.optional &= !self.scopes[scope].present.contains(&written);
        Some(flow)
    }

    /// The index of what a scope takes from outside under this name.
    fn capture(&mut self, scope: usize, name: &str, outer: Flow) -> usize {
        let captures = &mut self.scopes[scope].captures;
        if let Some(at) = captures.iter().position(|c| c.name == name) {
            return at;
        }
        captures.push(Captured {
            name: name.to_owned(),
            ty: outer.ty.clone(),
            outer,
        });
        captures.len() - 1
    }

    fn output_of(
        &mut self,
        scope: usize,
        node: usize,
        reference: &Spanned<Reference>,
    ) -> Option<Flow> {
        // `None` is a node of a cycle, or one whose callee is not known.
        let draft = self.scopes[scope].drafts[node].as_ref()?;
        let target = &reference.value.target;
        let port = reference.value.port.as_ref();
        let found = port.and_then(|p| draft.outputs.iter().position(|o| o.name == p.value));
        let Some(output) = found else {
            let names = draft.outputs.iter().map(|o| o.name.as_str());
            let diagnostic = match port {
                Some(port) => {
                    let diagnostic = Diagnostic::error(
                        port.span,
                        format!(
                            "node `{}` has no output `{}`",
                            target.value,
                            motet_config::truncated(&port.value)
                        ),
                    );
                    match draft.kind.why_without(&port.value) {
                        Some(why) => diagnostic.note(why),
                        None => diagnostic.suggest(&port.value, names),
                    }
                }
                None => {
                    let diagnostic = Diagnostic::error(
                        reference.span,
                        format!("`{}` is a node: name one of its outputs", target.value),
                    );
                    let written: Vec<String> =
                        names.map(|n| format!("${}.{n}", target.value)).collect();
                    if written.is_empty() {
                        diagnostic
                    } else {
                        diagnostic.help(format!("write {}", one_of(&written)))
                    }
                }
            };
            self.diagnostics.push(diagnostic);
            self.incomplete = true;
            return None;
        };
        let ty = draft.outputs[output].ty.clone()?;
        Some(Flow {
            source: DraftSource::Node { node, output },
            ty,
            optional: draft.outputs[output].optional,
        })
    }

    /// Reports a value that may be absent where one must be there. Returns whether it is there.
    pub(crate) fn is_present(&mut self, flow: &Flow, written: &str, at: Span, what: &str) -> bool {
        if !flow.optional {
            return true;
        }
        self.incomplete = true;
        self.diagnostics.push(
            Diagnostic::error(
                at,
                format!("`{written}` may be absent, but {what} needs it"),
            )
            .help(format!(
                "say what holds then with `op: default`, or run the node only `when: \"{} != \
                 null\"`",
                written.trim_start_matches('$')
            )),
        );
        false
    }

    /// A literal as a value of an element type.
    pub(crate) fn literal(
        &mut self,
        literal: &LiteralSpec,
        element: ElementType,
        what: &str,
        span: Span,
    ) -> Option<Flow> {
        let Some(fitted) = fit(literal, element, what, self.diagnostics) else {
            self.incomplete = true;
            return None;
        };
        let mut dims = Vec::new();
        if fitted.list {
            let n = fitted.values.len();
            let origin = FactOrigin {
                span,
                words: format!("a list of {n}"),
            };
            dims.push(self.dims.fixed(n, origin));
        }
        Some(Flow {
            source: DraftSource::Literal(fitted),
            ty: FlowType { element, dims },
            optional: false,
        })
    }

    /// Unifies two dimensions, or reports why they differ. `label` describes the value at `at`,
    /// `why` the reason for which the dimensions must be equal.
    pub(crate) fn unify(
        &mut self,
        value: DimId,
        wanted: DimId,
        at: Span,
        label: &str,
        why: &str,
    ) -> bool {
        match self.dims.unify(value, wanted) {
            Ok(()) => true,
            Err(conflict) => {
                self.report_conflict(conflict, at, label, why);
                false
            }
        }
    }

    /// As [`Checker::unify`], but the two stay distinct: they may still be equal in a request.
    pub(crate) fn compatible(
        &mut self,
        value: DimId,
        wanted: DimId,
        at: Span,
        label: &str,
        why: &str,
    ) -> bool {
        match self.dims.compatible(value, wanted) {
            Ok(()) => true,
            Err(conflict) => {
                self.report_conflict(conflict, at, label, why);
                false
            }
        }
    }

    fn report_conflict(&mut self, conflict: Conflict, at: Span, label: &str, why: &str) {
        self.incomplete = true;
        let mut diagnostic;
        match conflict {
            Conflict::Sizes(facts) => {
                let [a, b] = &*facts;
                diagnostic =
                    Diagnostic::error(at, format!("sizes differ: {} is not {}", a.value, b.value))
                        .label(label);
                for fact in [a, b] {
                    diagnostic = diagnostic.also(
                        fact.origin.span,
                        format!("{} from here: {}", fact.value, fact.origin.words),
                    );
                }
            }
            Conflict::Lengths(facts) => {
                let [a, b] = &*facts;
                diagnostic = Diagnostic::error(
                    at,
                    format!("lengths differ: `{}` is not `{}`", a.value, b.value),
                )
                .label(label);
                for fact in [a, b] {
                    diagnostic = diagnostic.also(
                        fact.origin.span,
                        format!("`{}` from here: {}", fact.value, fact.origin.words),
                    );
                }
                if !a.value.contains('.') && !b.value.contains('.') {
                    diagnostic = diagnostic.help(format!(
                        "if the two inputs always have one length, write `{}` in both",
                        a.value
                    ));
                }
            }
        }
        if !why.is_empty() {
            diagnostic = diagnostic.note(why);
        }
        self.diagnostics.push(diagnostic);
    }
}

/// Returns `true` if a value of one element type fits a port of another: the same type, or
/// `string` and `bytes`.
pub(crate) fn flows_into(value: ElementType, wanted: ElementType) -> bool {
    let text = |e| matches!(e, ElementType::String | ElementType::Bytes);
    value == wanted || text(value) && text(wanted)
}

/// Returns `true` if a value must be checked to be UTF-8.
pub(crate) fn checks_utf8(value: ElementType, wanted: ElementType) -> bool {
    value == ElementType::Bytes && wanted == ElementType::String
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn one_of(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}
