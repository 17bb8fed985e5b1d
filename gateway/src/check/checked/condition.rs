//! Conditions of a checked pipeline.

use crate::scalar::Scalar;
use crate::syntax::Comparison;

/// A condition over values.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition<S> {
    /// The value is absent.
    Absent(S),
    /// The comparison of two values holds; it never does if one is absent.
    Compare {
        /// The comparison.
        comparison: Comparison,
        /// The left side.
        left: Operand<S>,
        /// The right side.
        right: Operand<S>,
    },
    /// The condition does not hold.
    Not(Box<Condition<S>>),
    /// Every one holds.
    All(Vec<Condition<S>>),
    /// At least one holds.
    Any(Vec<Condition<S>>),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand<S> {
    /// Written out.
    Literal(Scalar),
    /// A single value.
    Value(S),
    /// How many rows a list has.
    Length(S),
}

impl<S> Condition<S> {
    /// Visits every value that the condition reads.
    pub fn sources(&self, visit: &mut impl FnMut(&S)) {
        match self {
            Self::Absent(source) => visit(source),
            Self::Compare { left, right, .. } => {
                for side in [left, right] {
                    match side {
                        Operand::Value(source) | Operand::Length(source) => visit(source),
                        Operand::Literal(_) => {}
                    }
                }
            }
            Self::Not(inner) => inner.sources(visit),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|p| p.sources(visit)),
        }
    }

    /// Returns the condition over mapped values; `None` if `map` returns none for one of them.
    pub fn try_map<T>(self, map: &impl Fn(S) -> Option<T>) -> Option<Condition<T>> {
        let operand = |side| {
            Some(match side {
                Operand::Literal(scalar) => Operand::Literal(scalar),
                Operand::Value(source) => Operand::Value(map(source)?),
                Operand::Length(source) => Operand::Length(map(source)?),
            })
        };
        let all = |parts: Vec<Self>| -> Option<Vec<Condition<T>>> {
            parts.into_iter().map(|p| p.try_map(map)).collect()
        };
        Some(match self {
            Self::Absent(source) => Condition::Absent(map(source)?),
            Self::Compare {
                comparison,
                left,
                right,
            } => Condition::Compare {
                comparison,
                left: operand(left)?,
                right: operand(right)?,
            },
            Self::Not(inner) => Condition::Not(Box::new(inner.try_map(map)?)),
            Self::All(parts) => Condition::All(all(parts)?),
            Self::Any(parts) => Condition::Any(all(parts)?),
        })
    }
}
