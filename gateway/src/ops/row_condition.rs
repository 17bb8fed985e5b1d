//! Conditions over the columns of a list, row by row: `score >= 0.5 and lang == "de"`.
//!
//! A condition has the syntax of `when` of a node, over the inputs of an op. The check resolves its
//! names to inputs and prints it with their indices (`$0 >= 0.5`), which the op parses when it
//! runs.

use std::fmt;

use motet_config::{Diagnostic, Span, Spanned, truncated};
use motet_proto::dispatch;
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use super::error::{OpError, OpErrorKind};
use super::ports::Arguments;
use crate::compute::cancel::Meter;
use crate::scalar::Scalar;
use crate::scalar::cell::{Cell, Class};
use crate::syntax::{Comparison, Expression, Reference, parse_condition};

/// A condition over the inputs of an op.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RowCondition {
    Compare(Comparison, [Operand; 2]),
    Not(Box<RowCondition>),
    And(Box<[RowCondition; 2]>),
    Or(Box<[RowCondition; 2]>),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Literal(Scalar),
    /// The input of this index.
    Input(usize),
}

type Failure = Box<Diagnostic>;

/// The index of an input, and its element type where it is known.
type Resolved = (usize, Option<ElementType>);

impl RowCondition {
    /// Parses a condition of a file, over named arguments.
    ///
    /// # Errors
    /// The error message.
    pub(super) fn check(
        text: &str,
        span: Span,
        arguments: &Arguments<'_>,
    ) -> Result<Self, Failure> {
        let expression = parse_condition(text, span)?;
        of(&expression, &|reference, at| {
            resolve(reference, at, arguments)
        })
    }

    /// Parses a condition that the check printed.
    pub(super) fn parse(text: &str) -> Result<Self, OpErrorKind> {
        let indices = |reference: &Reference, at: Span| {
            let index = reference.target.value.parse().ok();
            index
                .map(|index| (index, None))
                .ok_or_else(|| Box::new(Diagnostic::error(at, "not the index of an input")))
        };
        parse_condition(text, Span::default())
            .and_then(|expression| of(&expression, &indices))
            .map_err(|_| OpErrorKind::Argument)
    }

    /// Returns which of `count` rows meet the condition. A scalar has the same value in each row.
    pub(super) fn rows(
        &self,
        inputs: &[&Tensor],
        count: usize,
        meter: &mut Meter<'_>,
    ) -> Result<Vec<usize>, OpError> {
        let columns = inputs
            .iter()
            .map(|tensor| Column::of(tensor))
            .collect::<Result<Vec<_>, _>>()?;
        let cost = self.operations() as usize;
        let mut rows = Vec::new();
        for row in 0..count {
            meter.spend(cost)?;
            if self.holds(&columns, row) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Returns the number of operations for one row.
    pub(super) fn operations(&self) -> u64 {
        match self {
            Self::Compare(..) => super::work::RANK,
            Self::Not(inner) => 1 + inner.operations(),
            Self::And(sides) | Self::Or(sides) => {
                sides.iter().map(Self::operations).sum::<u64>() + 1
            }
        }
    }

    fn holds(&self, columns: &[Column<'_>], row: usize) -> bool {
        match self {
            Self::Compare(comparison, [left, right]) => {
                let (left, right) = (left.cell(columns, row), right.cell(columns, row));
                let order = left.zip(right).and_then(|(left, right)| left.order(right));
                comparison.holds(order)
            }
            Self::Not(inner) => !inner.holds(columns, row),
            Self::And(sides) => sides.iter().all(|side| side.holds(columns, row)),
            Self::Or(sides) => sides.iter().any(|side| side.holds(columns, row)),
        }
    }
}

impl Operand {
    /// Returns the value in a row.
    fn cell<'c>(&'c self, columns: &'c [Column<'_>], row: usize) -> Option<Cell<'c>> {
        match self {
            Self::Literal(literal) => Some(literal.into()),
            Self::Input(index) => Some(columns.get(*index)?.cell(row)),
        }
    }
}

/// The elements of an input.
struct Column<'t> {
    single: bool,
    get: Box<dyn Fn(usize) -> Cell<'t> + 't>,
}

impl<'t> Column<'t> {
    #[allow(clippy::useless_conversion)] // Where `T` is `f64`.
    fn of(tensor: &'t Tensor) -> Result<Self, OpError> {
        let get: Box<dyn Fn(usize) -> Cell<'t> + 't> = dispatch!(tensor.element(), {
            integer T => {
                let values = tensor.values::<T>()?;
                Box::new(move |row| Cell::Int(values[row].into()))
            },
            float T => {
                let values = tensor.values::<T>()?;
                Box::new(move |row| Cell::Float(values[row].into()))
            },
            _ => match tensor.element() {
                ElementType::Bool => Box::new(|row| Cell::Bool(tensor.data()[row] != 0)),
                ElementType::String => {
                    let texts: Vec<&str> = tensor.as_strings()?.texts().collect();
                    Box::new(move |row| Cell::Text(texts[row]))
                }
                // The check rejects conditions that compare bytes.
                _ => Box::new(|_| Cell::Text("")),
            },
        });
        Ok(Self {
            single: tensor.shape().is_empty(),
            get,
        })
    }

    fn cell(&self, row: usize) -> Cell<'t> {
        (self.get)(if self.single { 0 } else { row })
    }
}

/// Parses an expression over the inputs that `resolve` finds.
fn of(
    expression: &Spanned<Expression>,
    resolve: &dyn Fn(&Reference, Span) -> Result<Resolved, Failure>,
) -> Result<RowCondition, Failure> {
    let both = |sides: &[Spanned<Expression>; 2]| -> Result<_, Failure> {
        Ok(Box::new([of(&sides[0], resolve)?, of(&sides[1], resolve)?]))
    };
    match &expression.value {
        Expression::Not(inner) => Ok(RowCondition::Not(Box::new(of(inner, resolve)?))),
        Expression::And(sides) => Ok(RowCondition::And(both(sides)?)),
        Expression::Or(sides) => Ok(RowCondition::Or(both(sides)?)),
        Expression::Compare(comparison, sides) => {
            let left = Side::of(&sides[0], resolve)?;
            let right = Side::of(&sides[1], resolve)?;
            let at = sides[1].span;
            if let (Some(a), Some(b)) = (left.class, right.class)
                && a != b
            {
                let (a, b) = (a.name(), b.name());
                return wrong(at, format!("{a} cannot be compared with {b}"));
            }
            let equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
            if left.class.or(right.class) == Some(Class::Boolean) && !equality {
                return wrong(at, "booleans are compared by `==` and `!=`".to_owned());
            }
            let (of_left, of_right) = (left.element, right.element);
            let sides = [left.rounded_to(of_right), right.rounded_to(of_left)];
            Ok(RowCondition::Compare(*comparison, sides))
        }
        _ => {
            let side = Side::of(expression, resolve)?;
            if let Some(class) = side.class.filter(|class| *class != Class::Boolean) {
                let name = class.name();
                let why = format!("a condition is a comparison or a boolean, not {name}");
                return wrong(expression.span, why);
            }
            let truth = Operand::Literal(Scalar::Bool(true));
            Ok(RowCondition::Compare(
                Comparison::Equal,
                [side.operand, truth],
            ))
        }
    }
}

/// One side of a comparison, with its type if known.
struct Side {
    operand: Operand,
    class: Option<Class>,
    /// The element type of an input.
    element: Option<ElementType>,
}

impl Side {
    fn of(
        expression: &Spanned<Expression>,
        resolve: &dyn Fn(&Reference, Span) -> Result<Resolved, Failure>,
    ) -> Result<Self, Failure> {
        match &expression.value {
            Expression::Literal(scalar) => Ok(Self {
                class: Some(scalar.class()),
                operand: Operand::Literal(scalar.clone()),
                element: None,
            }),
            Expression::Reference(reference) => {
                let (index, element) = resolve(reference, expression.span)?;
                Ok(Self {
                    operand: Operand::Input(index),
                    class: element.and_then(Class::of),
                    element,
                })
            }
            Expression::Null => wrong(expression.span, "no row of a list is `null`".to_owned()),
            Expression::Length(_) => wrong(
                expression.span,
                "a row has no length: compare with the output of `op: length`".to_owned(),
            ),
            _ => wrong(
                expression.span,
                "a comparison is between values, not between conditions".to_owned(),
            ),
        }
    }

    /// Rounds a literal to an element of a type; other operands stay.
    fn rounded_to(self, element: Option<ElementType>) -> Operand {
        match (self.operand, element) {
            (Operand::Literal(literal), Some(element)) => {
                Operand::Literal(literal.rounded_to(element))
            }
            (operand, _) => operand,
        }
    }
}

/// Finds an input that can be compared row by row.
fn resolve(
    reference: &Reference,
    at: Span,
    arguments: &Arguments<'_>,
) -> Result<Resolved, Failure> {
    let name = reference.target.value.as_str();
    let found = arguments.inputs.iter().position(|a| a.name == name);
    let Some(index) = found.filter(|_| reference.port.is_none()) else {
        let written = reference.to_string();
        let written = written.trim_start_matches('$');
        let message = format!("`in` has no value `{}` to compare", truncated(written));
        let names = arguments.inputs.iter().map(|a| a.name);
        return Err(Box::new(
            Diagnostic::error(at, message).suggest(name, names),
        ));
    };
    let Some((element, rank)) = arguments.inputs[index].ty else {
        return Ok((index, None));
    };
    if rank > 1 {
        return wrong(at, format!("a row of `{name}` is not a single value"));
    }
    if Class::of(element).is_none() {
        let why = format!("`{name}` is {element}, which cannot be compared");
        return wrong(at, why);
    }
    Ok((index, Some(element)))
}

fn wrong<T>(at: Span, why: String) -> Result<T, Failure> {
    Err(Box::new(Diagnostic::error(at, why)))
}

/// Prints a condition so that it parses as the same one.
impl fmt::Display for RowCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison, [left, right]) => {
                write!(f, "{left} {} {right}", comparison.sign())
            }
            // Only the parentheses of the source are printed; their depth is limited.
            Self::Not(inner) => match **inner {
                Self::Compare(..) | Self::Not(_) => write!(f, "not {inner}"),
                Self::And(_) | Self::Or(_) => write!(f, "not ({inner})"),
            },
            Self::And(sides) => {
                let [left, right] = &**sides;
                match left {
                    Self::Or(_) => write!(f, "({left})")?,
                    _ => write!(f, "{left}")?,
                }
                match right {
                    Self::Or(_) | Self::And(_) => write!(f, " and ({right})"),
                    _ => write!(f, " and {right}"),
                }
            }
            Self::Or(sides) => {
                let [left, right] = &**sides;
                match right {
                    Self::Or(_) => write!(f, "{left} or ({right})"),
                    _ => write!(f, "{left} or {right}"),
                }
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(index) => write!(f, "${index}"),
            Self::Literal(Scalar::Bool(b)) => write!(f, "{b}"),
            Self::Literal(Scalar::Int(n)) => write!(f, "{n}"),
            // Printed with a point or an exponent, so that it parses as a float.
            Self::Literal(Scalar::Float(x)) => write!(f, "{x:?}"),
            // A quoted string contains no quote of its own kind.
            Self::Literal(Scalar::String(s)) if s.contains('"') => write!(f, "'{s}'"),
            Self::Literal(Scalar::String(s)) => write!(f, "\"{s}\""),
        }
    }
}
