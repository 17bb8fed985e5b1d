//! Single values that are compared: literals, settings and elements of tensors.

use std::cmp::Ordering;

use motet_proto::tensor::{Element, Tensor};
use motet_proto::types::ElementType;

use super::Scalar;
use super::decimal;
use super::dispatch::for_number;

/// What can be compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Numbers of every element type.
    Number,
    /// Strings.
    Text,
    /// Booleans.
    Boolean,
}

impl Class {
    /// The class of the elements of a tensor; `None` for bytes, which have no order.
    pub const fn of(element: ElementType) -> Option<Self> {
        match element {
            ElementType::Bool => Some(Self::Boolean),
            ElementType::String => Some(Self::Text),
            ElementType::Bytes => None,
            _ => Some(Self::Number),
        }
    }

    /// The name with its article, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Boolean => "a boolean",
        }
    }
}

impl Scalar {
    /// The class of the value.
    pub const fn class(&self) -> Class {
        match self {
            Self::Bool(_) => Class::Boolean,
            Self::Int(_) | Self::Float(_) => Class::Number,
            Self::String(_) => Class::Text,
        }
    }

    /// The value as it compares with elements of a type: a number beside floats is the nearest of
    /// them, so that `0.7` equals the `float` 0.7.
    pub fn beside(&self, element: ElementType) -> Cell<'_> {
        match (self, element.is_float()) {
            (Self::Int(n), true) => Cell::Float(decimal::nearest(*n as f64, element)),
            (Self::Float(x), true) => Cell::Float(decimal::nearest(*x, element)),
            _ => Cell::from(self),
        }
    }
}

/// A value to compare. Every integer and every float of a tensor fits without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// A Boolean.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A string.
    Text(&'a str),
}

impl<'a> Cell<'a> {
    /// The element of a tensor that has exactly one; `None` for bytes and for other shapes.
    pub fn of(tensor: &'a Tensor) -> Option<Self> {
        for_number!(
            tensor.element(),
            T => tensor.to_scalar::<T>().ok().map(Number::cell),
            _ => match (tensor.element(), tensor.len()) {
                (ElementType::Bool, 1) => tensor.data().first().map(|b| Self::Bool(*b != 0)),
                _ => tensor.as_text().ok().map(Self::Text),
            },
        )
    }

    /// The order of two values of one class; `None` for others, and for NaN.
    pub fn order(self, other: Cell<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Cell::Bool(b)) => Some(a.cmp(&b)),
            (Self::Text(a), Cell::Text(b)) => Some(a.cmp(b)),
            (Self::Int(a), Cell::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(n as f64),
            Self::Float(x) => Some(x),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

impl<'a> From<&'a Scalar> for Cell<'a> {
    fn from(scalar: &'a Scalar) -> Self {
        match scalar {
            Scalar::Bool(b) => Self::Bool(*b),
            Scalar::Int(n) => Self::Int((*n).into()),
            Scalar::Float(x) => Self::Float(*x),
            Scalar::String(s) => Self::Text(s),
        }
    }
}

/// A number of a tensor as a value to compare.
pub trait Number: Element {
    /// The value.
    fn cell(self) -> Cell<'static>;
}

macro_rules! numbers {
    ($variant:ident: $($number:ty),*) => {
        $(impl Number for $number {
            fn cell(self) -> Cell<'static> {
                Cell::$variant(self.into())
            }
        })*
    };
}

numbers!(Int: i8, i16, i32, i64, u8, u16, u32, u64);
numbers!(Float: half::f16, half::bf16, f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_class_have_an_order() {
        let less = Some(Ordering::Less);
        for (a, b, expected) in [
            (Cell::Int(1), Cell::Int(2), less),
            (Cell::Int(1), Cell::Float(1.5), less),
            (Cell::Float(-0.0), Cell::Int(0), Some(Ordering::Equal)),
            (Cell::Float(f64::NAN), Cell::Float(1.0), None),
            (Cell::Text("a"), Cell::Text("b"), less),
            (Cell::Bool(false), Cell::Bool(true), less),
            (Cell::Bool(true), Cell::Int(1), None),
            (Cell::Text("1"), Cell::Int(1), None),
        ] {
            assert_eq!(a.order(b), expected, "{a:?} {b:?}");
            assert_eq!(b.order(a), expected.map(Ordering::reverse), "{b:?} {a:?}");
        }
        let most = Tensor::scalar(u64::MAX);
        assert_eq!(Cell::of(&most), Some(Cell::Int(u64::MAX.into())));
        assert_eq!(Cell::of(&Tensor::scalar_bool(true)), Some(Cell::Bool(true)));
        assert_eq!(Cell::of(&Tensor::strings(["a", "b"])), None);
    }
}
