//! Conditions: their references, whether these can be compared, and their proofs that values are
//! may be absent.

use std::collections::HashSet;

use motet_config::{Diagnostic, Span, Spanned};
use motet_proto::types::ElementType;

use super::checked::{Condition, Operand};
use super::checker::{Checker, DraftSource};
use crate::scalar::Scalar;
use crate::scalar::cell::Class;
use crate::syntax::{Comparison, Expression, Reference};

/// One side of a comparison.
struct Side {
    operand: Operand<DraftSource>,
    class: Class,
    /// The element type of a value.
    element: Option<ElementType>,
}

impl Side {
    /// The operand beside elements of a type: a literal becomes one of them.
    fn rounded_to(self, element: Option<ElementType>) -> Operand<DraftSource> {
        match (self.operand, element) {
            (Operand::Literal(literal), Some(element)) => {
                Operand::Literal(literal.rounded_to(element))
            }
            (operand, _) => operand,
        }
    }
}

impl Checker<'_> {
    /// A condition over values of the scope that is looked at now; `None` when it cannot be
    /// decided, which was reported.
    pub(crate) fn condition(
        &mut self,
        expression: &Spanned<Expression>,
    ) -> Option<Condition<DraftSource>> {
        match &expression.value {
            Expression::Not(inner) => Some(Condition::Not(Box::new(self.condition(inner)?))),
            Expression::And(sides) => {
                let [left, right] = self.both(sides);
                Some(Condition::All(vec![left?, right?]))
            }
            Expression::Or(sides) => {
                let [left, right] = self.both(sides);
                Some(Condition::Any(vec![left?, right?]))
            }
            Expression::Compare(comparison, sides) => self.comparison(*comparison, sides),
            _ => {
                let side = self.side(expression)?;
                if side.class != Class::Boolean {
                    let shown = side.class.name();
                    self.wrong(
                        expression.span,
                        format!("a condition is a comparison or a boolean, not {shown}"),
                    );
                    return None;
                }
                Some(Condition::Compare {
                    comparison: Comparison::Equal,
                    left: side.operand,
                    right: Operand::Literal(Scalar::Bool(true)),
                })
            }
        }
    }

    fn wrong(&mut self, at: Span, why: String) {
        self.incomplete = true;
        self.diagnostics.push(Diagnostic::error(at, why));
    }

    fn both(&mut self, sides: &[Spanned<Expression>; 2]) -> [Option<Condition<DraftSource>>; 2] {
        [self.condition(&sides[0]), self.condition(&sides[1])]
    }

    fn comparison(
        &mut self,
        comparison: Comparison,
        sides: &[Spanned<Expression>; 2],
    ) -> Option<Condition<DraftSource>> {
        let equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
        let null = sides.iter().position(|s| s.value == Expression::Null);
        if let Some(null) = null {
            let other = &sides[1 - null];
            let Expression::Reference(reference) = &other.value else {
                self.wrong(
                    other.span,
                    "only a value can be compared with `null`".to_owned(),
                );
                return None;
            };
            if !equality {
                self.wrong(
                    sides[null].span,
                    "`null` is neither less nor greater: write `== null` or `!= null`".to_owned(),
                );
                return None;
            }
            let flow = self.reference(reference, other.span)?;
            if !flow.optional {
                self.diagnostics.push(Diagnostic::warning(
                    other.span,
                    format!("`{}` is always there: it is never `null`", bare(reference)),
                ));
            }
            let absent = Condition::Absent(flow.source);
            return Some(match comparison {
                Comparison::Equal => absent,
                _ => Condition::Not(Box::new(absent)),
            });
        }
        let (left, right) = (self.side(&sides[0]), self.side(&sides[1]));
        let (left, right) = (left?, right?);
        if left.class != right.class {
            self.wrong(
                sides[1].span,
                format!(
                    "{} cannot be compared with {}",
                    left.class.name(),
                    right.class.name()
                ),
            );
            return None;
        }
        if left.class == Class::Boolean && !equality {
            self.wrong(
                sides[1].span,
                "booleans are compared by `==` and `!=`".to_owned(),
            );
            return None;
        }
        let (of_left, of_right) = (left.element, right.element);
        Some(Condition::Compare {
            comparison,
            left: left.rounded_to(of_right),
            right: right.rounded_to(of_left),
        })
    }

    fn side(&mut self, expression: &Spanned<Expression>) -> Option<Side> {
        match &expression.value {
            Expression::Literal(scalar) => Some(Side {
                class: scalar.class(),
                operand: Operand::Literal(scalar.clone()),
                element: None,
            }),
            Expression::Reference(reference) => {
                let flow = self.reference(reference, expression.span)?;
                let class = Class::of(flow.ty.element).filter(|_| flow.ty.dims.is_empty());
                let Some(class) = class else {
                    let shown = self.show(&flow.ty);
                    self.incomplete = true;
                    let mut diagnostic = Diagnostic::error(
                        expression.span,
                        format!(
                            "a condition compares single values, and `{}` is {shown}",
                            bare(reference)
                        ),
                    );
                    if !flow.ty.dims.is_empty() {
                        diagnostic =
                            diagnostic.help(format!("`length({})` is a number", bare(reference)));
                    }
                    self.diagnostics.push(diagnostic);
                    return None;
                };
                Some(Side {
                    operand: Operand::Value(flow.source),
                    class,
                    element: Some(flow.ty.element),
                })
            }
            Expression::Length(reference) => {
                let flow = self.reference(&reference.value, reference.span)?;
                if flow.ty.dims.is_empty() {
                    let shown = self.show(&flow.ty);
                    self.wrong(
                        reference.span,
                        format!(
                            "only a list has a length, and `{}` is {shown}",
                            bare(&reference.value)
                        ),
                    );
                    return None;
                }
                Some(Side {
                    operand: Operand::Length(flow.source),
                    class: Class::Number,
                    element: None,
                })
            }
            Expression::Null => {
                self.wrong(
                    expression.span,
                    "`null` stands beside `==` or `!=`".to_owned(),
                );
                None
            }
            _ => {
                self.wrong(
                    expression.span,
                    "a comparison is between values, not between conditions".to_owned(),
                );
                None
            }
        }
    }

    fn reference(&mut self, reference: &Reference, span: Span) -> Option<super::checker::Flow> {
        let flow = self.flow(&Spanned::new(reference.clone(), span));
        self.incomplete |= flow.is_none();
        flow
    }
}

fn bare(reference: &Reference) -> String {
    reference.to_string().trim_start_matches('$').to_owned()
}

/// The values that are there when a condition holds (or, with `holds` false, when it does not).
/// A comparison with a value that is absent does not hold.
pub(crate) fn present(expression: &Expression, holds: bool, found: &mut HashSet<String>) {
    let mut operand = |side: &Spanned<Expression>| match &side.value {
        Expression::Reference(reference) => {
            found.insert(reference.to_string());
        }
        Expression::Length(reference) => {
            found.insert(reference.value.to_string());
        }
        _ => {}
    };
    match expression {
        Expression::Compare(comparison, sides) => {
            let with_null = sides.iter().any(|s| s.value == Expression::Null);
            let says = match (with_null, comparison) {
                (true, Comparison::Unequal) => holds,
                (true, _) => !holds,
                (false, _) => holds,
            };
            if says {
                sides.iter().for_each(&mut operand);
            }
        }
        Expression::Reference(reference) if holds => {
            found.insert(reference.to_string());
        }
        Expression::Not(inner) => present(&inner.value, !holds, found),
        // Both sides hold, or neither does.
        Expression::And(sides) if holds => {
            sides.iter().for_each(|s| present(&s.value, true, found));
        }
        Expression::Or(sides) if !holds => {
            sides.iter().for_each(|s| present(&s.value, false, found));
        }
        _ => {}
    }
}
