//! Values written in a file as values of an element type.

use motet_config::{Diagnostic, Diagnostics, Spanned};
use motet_proto::types::ElementType;

use super::checked::Literal;
use crate::scalar::Scalar;
use crate::syntax::LiteralSpec;

/// The element type that a literal has by itself; `None` for an empty list.
pub(crate) fn natural(literal: &LiteralSpec) -> Option<ElementType> {
    let of = |scalar: &Scalar| match scalar {
        Scalar::Bool(_) => ElementType::Bool,
        Scalar::Int(_) => ElementType::I64,
        Scalar::Float(_) => ElementType::F32,
        Scalar::String(_) => ElementType::String,
    };
    let mut types = literal.values.iter().map(|v| of(&v.value));
    let first = types.next()?;
    // A list of numbers of which some have no point is a list of numbers.
    Some(match first {
        ElementType::I64 if types.any(|t| t == ElementType::F32) => ElementType::F32,
        first => first,
    })
}

/// The literal as elements of a type, or a report of each element that is none. `what` names the
/// place in the report.
pub(crate) fn fit(
    literal: &LiteralSpec,
    element: ElementType,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Literal> {
    let values: Vec<Option<Scalar>> = literal
        .values
        .iter()
        .map(|v| scalar(v, element, what, diagnostics))
        .collect();
    Some(Literal {
        element,
        list: literal.list,
        values: values.into_iter().collect::<Option<_>>()?,
    })
}

/// One value as an element of a type, or a report.
pub(crate) fn scalar(
    value: &Spanned<Scalar>,
    element: ElementType,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Scalar> {
    let fitted = match (&value.value, element) {
        (Scalar::String(_), ElementType::String | ElementType::Bytes)
        | (Scalar::Bool(_), ElementType::Bool) => Some(value.value.clone()),
        (Scalar::Int(n), e) if e.is_integer() => {
            let (min, max) = integer_range(e);
            if !(min..=max).contains(n) {
                diagnostics.push(Diagnostic::error(
                    value.span,
                    format!("{what} is {n}, but {e} holds {min} to {max}"),
                ));
                return None;
            }
            Some(Scalar::Int(*n))
        }
        #[allow(clippy::cast_precision_loss)]
        (Scalar::Int(n), e) if e.is_float() => Some(Scalar::Float(*n as f64)),
        (Scalar::Float(x), e) if e.is_float() => Some(Scalar::Float(*x)),
        _ => None,
    };
    if fitted.is_none() {
        let mut diagnostic = Diagnostic::error(
            value.span,
            format!("{what} must be {element}, not {}", value.value.kind()),
        );
        if matches!(element, ElementType::String) {
            diagnostic = diagnostic.help("put it in quotes to make it a text");
        }
        diagnostics.push(diagnostic);
    }
    fitted
}

/// The smallest and largest of an integer type, as far as a file can write them.
fn integer_range(element: ElementType) -> (i64, i64) {
    match element {
        ElementType::I8 => (i8::MIN.into(), i8::MAX.into()),
        ElementType::I16 => (i16::MIN.into(), i16::MAX.into()),
        ElementType::I32 => (i32::MIN.into(), i32::MAX.into()),
        ElementType::U8 => (0, u8::MAX.into()),
        ElementType::U16 => (0, u16::MAX.into()),
        ElementType::U32 => (0, u32::MAX.into()),
        ElementType::U64 => (0, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    }
}
