//! Conditions, decided for the values of a request.

use motet_proto::tensor::Tensor;

use crate::check::{Condition, Operand, Source};
use crate::scalar::cell::Cell;

/// `true` if a condition holds. A comparison with an absent value does not.
pub(crate) fn holds(
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
            // Cells borrow strings from the tensors.
            let tensors = [left, right].map(|side| match side {
                Operand::Literal(_) => None,
                Operand::Value(source) | Operand::Length(source) => value(source),
            });
            let left = cell(left, tensors[0].as_ref());
            let right = cell(right, tensors[1].as_ref());
            left.zip(right)
                .is_some_and(|(left, right)| comparison.holds(left.order(right)))
        }
    }
}

/// The value of an operand, whose tensor is `tensor`; `None` where it is absent.
fn cell<'a>(operand: &'a Operand<Source>, tensor: Option<&'a Tensor>) -> Option<Cell<'a>> {
    match operand {
        Operand::Literal(literal) => Some(literal.into()),
        Operand::Value(_) => Cell::of(tensor?),
        Operand::Length(_) => i128::try_from(tensor?.rows()).ok().map(Cell::Int),
    }
}
