//! Comparison of single values: literals, settings and elements of tensors.

use std::cmp::Ordering;

use motet_proto::dispatch;
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use super::Scalar;
use super::decimal;

/// Classes of values that have an order among themselves.
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
    /// Returns the class of an element type; `None` for bytes, which have no order.
    pub const fn of(element: ElementType) -> Option<Self> {
        match element {
            ElementType::Bool => Some(Self::Boolean),
            ElementType::String => Some(Self::Text),
            ElementType::Bytes => None,
            _ => Some(Self::Number),
        }
    }

    /// Returns the name with its article, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Boolean => "a boolean",
        }
    }
}

impl Scalar {
    /// Returns the class of the value.
    pub const fn class(&self) -> Class {
        match self {
            Self::Bool(_) => Class::Boolean,
            Self::Int(_) | Self::Float(_) => Class::Number,
            Self::String(_) => Class::Text,
        }
    }

    /// Rounds a number to the nearest element of a floating-point type, so that `0.7` equals the
    /// `float` 0.7. Returns other values unchanged.
    #[must_use]
    pub fn rounded_to(&self, element: ElementType) -> Self {
        match (self, element.is_float()) {
            (Self::Int(n), true) => Self::Float(decimal::nearest(*n as f64, element)),
            (Self::Float(x), true) => Self::Float(decimal::nearest(*x, element)),
            _ => self.clone(),
        }
    }

    /// Returns whether the number is greater than another, both as elements of a type.
    pub fn exceeds(&self, other: &Self, element: ElementType) -> bool {
        let (a, b) = (self.rounded_to(element), other.rounded_to(element));
        Cell::from(&a).order(Cell::from(&b)) == Some(Ordering::Greater)
    }

    /// Returns whether the number, an element of a type, is in a range that includes its ends. NaN
    /// is in no range.
    pub fn is_within(&self, element: ElementType, min: Option<i64>, max: Option<i64>) -> bool {
        let value = self.rounded_to(element);
        let order = |end: i64| Cell::from(&value).order(Cell::Int(end.into()));
        min.is_none_or(|min| order(min).is_some_and(Ordering::is_ge))
            && max.is_none_or(|max| order(max).is_some_and(Ordering::is_le))
    }

    /// Formats the value, a float in the shortest form that reads back as the element type.
    pub fn format_as(&self, element: ElementType) -> String {
        match self {
            Self::Float(x) => decimal::shortest(*x, element),
            _ => self.to_string(),
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
    /// Returns the element of a tensor that has exactly one; `None` for bytes and other shapes.
    #[allow(clippy::useless_conversion)] // Where `T` is `f64`.
    pub fn of(tensor: &'a Tensor) -> Option<Self> {
        dispatch!(tensor.element(), {
            integer T => tensor.to_scalar::<T>().ok().map(|n| Self::Int(n.into())),
            float T => tensor.to_scalar::<T>().ok().map(|x| Self::Float(x.into())),
            _ => match (tensor.element(), tensor.len()) {
                (ElementType::Bool, 1) => tensor.data().first().map(|b| Self::Bool(*b != 0)),
                _ => tensor.as_text().ok().map(Self::Text),
            },
        })
    }

    /// Returns the order of two values of one class; `None` for two classes, and for NaN.
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

    #[test]
    fn numbers_are_held_to_a_range_as_elements_of_their_type() {
        let (f32, f64, int) = (ElementType::F32, ElementType::F64, ElementType::I64);
        for (value, element, min, max, within) in [
            (Scalar::Int(1), int, Some(1), Some(1), true),
            (Scalar::Int(0), int, Some(1), None, false),
            (Scalar::Int(2), int, None, Some(1), false),
            (Scalar::Float(1.0), f32, Some(0), Some(1), true),
            (Scalar::Float(1.5), f32, Some(0), Some(1), false),
            (Scalar::Float(1.0 + 1e-12), f32, Some(0), Some(1), true),
            (Scalar::Float(1.0 + 1e-12), f64, Some(0), Some(1), false),
            (Scalar::Float(f64::NAN), f32, Some(0), None, false),
            (Scalar::Float(f64::NAN), f32, None, None, true),
            (Scalar::Int(3), f32, Some(0), Some(1), false),
        ] {
            let found = value.is_within(element, min, max);
            assert_eq!(found, within, "{value} in {min:?} to {max:?}");
        }
        let (low, high) = (Scalar::Float(0.7), Scalar::Float(0.700_000_000_1));
        assert!(!high.exceeds(&low, f32) && high.exceeds(&low, f64));
        assert!(!low.exceeds(&high, f64));
    }
}
