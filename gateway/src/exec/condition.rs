//! Whether a condition holds for the values of a request.

use std::cmp::Ordering;

use motet_proto::tensor::Tensor;

use super::literal::scalar;
use crate::check::{Condition, Operand, Source};
use crate::scalar::Scalar;
use crate::syntax::Comparison;

/// Whether a condition holds. A comparison with an absent value does not.
pub(super) fn holds(
    condition: &Condition<Source>,
    value: &impl Fn(&Source) -> Option<Tensor>,
) -> bool {
    match condition {
        Condition::Absent(source) => value(source).is_none(),
        Condition::Not(inner) => !holds(inner, value),
        Condition::All(parts) => parts.iter().all(|p| holds(p, value)),
        Condition::Any(parts) => parts.iter().any(|p| holds(p, value)),
        Condition::Compare {
            comparison,
            left,
            right,
        } => {
            let (left, right) = (operand(left, value), operand(right, value));
            match (left, right) {
                (Some(left), Some(right)) => compare(*comparison, &left, &right),
                _ => false,
            }
        }
    }
}

fn operand(
    operand: &Operand<Source>,
    value: &impl Fn(&Source) -> Option<Tensor>,
) -> Option<Scalar> {
    match operand {
        Operand::Literal(literal) => Some(literal.clone()),
        Operand::Value(source) => scalar(&value(source)?),
        Operand::Length(source) => i64::try_from(value(source)?.rows()).ok().map(Scalar::Int),
    }
}

fn compare(comparison: Comparison, left: &Scalar, right: &Scalar) -> bool {
    let order = match (left, right) {
        (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(b)),
        (Scalar::String(a), Scalar::String(b)) => Some(a.cmp(b)),
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(b)),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => None,
        },
    };
    // What is not a number is equal to nothing, and neither less nor greater.
    let Some(order) = order else {
        return comparison == Comparison::Unequal;
    };
    match comparison {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::Unequal => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Int(n) => Some(*n as f64),
        Scalar::Float(x) => Some(*x),
        Scalar::Bool(_) | Scalar::String(_) => None,
    }
}
