//! The inputs of one request: checked, completed by defaults, and the lengths that they decide.

use std::ops::{Bound, RangeBounds};

use motet_proto::dispatch;
use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tonic::Status;

use super::literal::out_of_range;
use super::symbols::SymbolBindings;
use crate::check::Input;
use crate::compute::{compute_here, copying};
use crate::plan::Plan;
use crate::scalar::Scalar;
use crate::scalar::decimal;

/// The inputs of one request, one tensor for each input of the pipeline.
#[derive(Debug)]
pub struct Inputs {
    /// `None` for an optional input that is left out.
    pub(super) tensors: Vec<Option<Tensor>>,
    pub(super) lengths: SymbolBindings,
}

/// Mistakes of an input tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViolationKind {
    /// It is not what the input takes.
    Invalid(String),
    /// It is larger than the input allows.
    OverLimit(String),
}

/// An input that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputViolation {
    /// The input.
    pub input: String,
    /// The mistake.
    pub kind: ViolationKind,
}

impl InputViolation {
    /// An input that is not what the pipeline takes.
    pub fn invalid(input: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            input: input.into(),
            kind: ViolationKind::Invalid(why.into()),
        }
    }
}

/// All violations of a request as one status: RESOURCE_EXHAUSTED when sizes are all that is wrong,
/// else INVALID_ARGUMENT; with a field violation for each.
pub fn violation_status(pipeline: &str, violations: &[InputViolation]) -> Status {
    let only_sizes = violations
        .iter()
        .all(|m| matches!(m.kind, ViolationKind::OverLimit(_)));
    let fields = violations.iter().map(|m| {
        let (ViolationKind::Invalid(why) | ViolationKind::OverLimit(why)) = &m.kind;
        (m.input.clone(), why.clone())
    });
    let builder = status::invalid_arguments(fields).pipeline(pipeline);
    if only_sizes {
        builder.reason(Reason::OverLimit).into()
    } else {
        builder.into()
    }
}

/// Checks the tensors of a request, in the order of the pipeline's inputs: `None` where the
/// request leaves one out.
///
/// # Errors
/// Every mistake.
pub fn bind_inputs(
    plan: &Plan,
    tensors: Vec<Option<Tensor>>,
) -> Result<Inputs, Vec<InputViolation>> {
    let bytes = tensors
        .iter()
        .flatten()
        .map(|tensor| tensor.data().len())
        .sum();
    compute_here(copying(bytes), || bind(plan, tensors))
}

fn bind(plan: &Plan, tensors: Vec<Option<Tensor>>) -> Result<Inputs, Vec<InputViolation>> {
    let pipeline = &plan.pipeline;
    let mut lengths = SymbolBindings::new(&pipeline.symbols);
    let mut violations = Vec::new();
    let mut bound = Vec::with_capacity(tensors.len());
    for (input, given) in pipeline.inputs.iter().zip(tensors) {
        let Some(tensor) = given.or_else(|| input.default_tensor()) else {
            if input.optional {
                bound.push(None);
            } else {
                violations.push(InputViolation::invalid(&input.name, "is required"));
            }
            continue;
        };
        let checked = input.check(&tensor).and_then(|()| {
            lengths
                .bind(&input.ty, tensor.shape(), &pipeline.symbols)
                .map_err(|e| ViolationKind::Invalid(e.to_string()))
        });
        match checked {
            Ok(()) => bound.push(Some(tensor)),
            Err(kind) => violations.push(InputViolation {
                input: input.name.clone(),
                kind,
            }),
        }
    }
    if violations.is_empty() {
        Ok(Inputs {
            tensors: bound,
            lengths,
        })
    } else {
        Err(violations)
    }
}

impl Input {
    /// Checks the content of a tensor for this input: element type, numbers within `min` and
    /// `max`, no more elements and no longer texts than the limits allow.
    ///
    /// # Errors
    /// Describes the mistake for people.
    fn check(&self, tensor: &Tensor) -> Result<(), ViolationKind> {
        if tensor.element() != self.ty.element {
            return Err(ViolationKind::Invalid(format!(
                "elements are {}, not {}",
                tensor.element(),
                self.ty.element
            )));
        }
        let items = items(tensor.shape());
        if items > self.max_items {
            return Err(ViolationKind::OverLimit(format!(
                "has {items} elements: the limit is {}",
                self.max_items
            )));
        }
        if let Ok(texts) = tensor.as_strings()
            && let Some((at, text)) = texts
                .iter()
                .enumerate()
                .find(|(_, t)| t.len() > self.max_bytes)
        {
            return Err(ViolationKind::OverLimit(format!(
                "element {at} has {} bytes: the limit is {}",
                text.len(),
                self.max_bytes
            )));
        }
        if self.min.is_none() && self.max.is_none() {
            return Ok(());
        }
        self.check_range(tensor).map_err(ViolationKind::Invalid)
    }

    fn check_range(&self, tensor: &Tensor) -> Result<(), String> {
        macro_rules! each {
            ($rust:ty, $wide:ty, $bound:expr, $shown:expr) => {{
                let bound = |s: &Option<Scalar>| s.as_ref().and_then($bound);
                let (min, max) = (bound(&self.min), bound(&self.max));
                let range = (
                    min.map_or(Bound::Unbounded, Bound::Included),
                    max.map_or(Bound::Unbounded, Bound::Included),
                );
                let values = tensor.values::<$rust>().map_err(|e| e.to_string())?;
                let mut values = values.iter().map(|v| <$wide>::from(*v));
                // NaN is in no range.
                match values.find(|v| !range.contains(v)) {
                    Some(v) => {
                        let found = $shown(v);
                        Err(out_of_range(found, self.min.as_ref(), self.max.as_ref()))
                    }
                    None => Ok(()),
                }
            }};
        }
        let int = |s: &Scalar| match s {
            Scalar::Int(n) => Some(i128::from(*n)),
            _ => None,
        };
        let element = self.ty.element;
        let float = |s: &Scalar| match s.rounded_to(element) {
            Scalar::Float(x) => Some(x),
            _ => None,
        };
        let shown = |x: f64| decimal::shortest(x, element);
        dispatch!(element, {
            integer T => each!(T, i128, int, |v: i128| v.to_string()),
            float T => each!(T, f64, float, shown),
            _ => Ok(()),
        })
    }
}

/// Returns the number of elements that count against `max_items`. Lengths of 0 are left out: rows
/// without elements carry no bytes, but work that goes row by row pays for each.
fn items(shape: &[usize]) -> usize {
    if !shape.is_empty() && shape.iter().all(|n| *n == 0) {
        return 0;
    }
    let lengths = shape.iter().filter(|n| **n > 0);
    lengths.fold(1, |all, n| all.saturating_mul(*n))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use motet_proto::types::ElementType;

    use super::*;
    use crate::check::ValueType;

    fn input(element: ElementType, min: Option<Scalar>, max: Option<Scalar>) -> Input {
        Input {
            name: "x".to_owned(),
            ty: ValueType::scalar(element),
            default: None,
            min,
            max,
            max_items: 2,
            max_bytes: 3,
            optional: false,
        }
    }

    #[test]
    fn content_is_held_to_the_limits() {
        let one_to_ten = input(
            ElementType::I64,
            Some(Scalar::Int(1)),
            Some(Scalar::Int(10)),
        );
        let positive = input(ElementType::F32, Some(Scalar::Float(0.0)), None);
        let text = input(ElementType::String, None, None);
        let wrong = |s: &str| Err(ViolationKind::Invalid(s.to_owned()));
        let over = |s: &str| Err(ViolationKind::OverLimit(s.to_owned()));
        for (input, tensor, result) in [
            (&one_to_ten, Tensor::scalar(10i64), Ok(())),
            (
                &one_to_ten,
                Tensor::scalar(0i64),
                wrong("0 is out of range: it must be from 1 to 10"),
            ),
            (
                &one_to_ten,
                Tensor::scalar(1i32),
                wrong("elements are i32, not int"),
            ),
            (&positive, Tensor::scalar(0f32), Ok(())),
            (
                &positive,
                Tensor::scalar(f32::NAN),
                wrong("NaN is out of range: it must be at least 0"),
            ),
            (&text, Tensor::strings(["abc", "ab"]), Ok(())),
            (
                &text,
                Tensor::strings(["", "abcd"]),
                over("element 1 has 4 bytes: the limit is 3"),
            ),
            (
                &text,
                Tensor::strings(["", "", ""]),
                over("has 3 elements: the limit is 2"),
            ),
        ] {
            assert_eq!(input.check(&tensor), result, "{tensor:?}");
        }
    }

    #[test]
    fn rows_without_elements_count() {
        for (shape, count) in [
            (&[][..], 1),
            (&[0], 0),
            (&[0, 0], 0),
            (&[3], 3),
            (&[3, 4], 12),
            (&[0, 4], 4),
            (&[1 << 40, 0], 1 << 40),
            (&[1 << 40, 0, 1 << 40], usize::MAX),
        ] {
            assert_eq!(items(shape), count, "{shape:?}");
        }
        let list = input(ElementType::F32, None, None);
        let tensor = Tensor::from_raw(ElementType::F32, vec![1 << 40, 0], bytes::Bytes::new());
        assert_eq!(
            list.check(&tensor.unwrap()),
            Err(ViolationKind::OverLimit(
                "has 1099511627776 elements: the limit is 2".to_owned()
            ))
        );
    }

    #[test]
    fn sizes_alone_are_exhaustion() {
        let size = InputViolation {
            input: "x".to_owned(),
            kind: ViolationKind::OverLimit("too long".to_owned()),
        };
        let alone = violation_status("p", std::slice::from_ref(&size));
        assert_eq!(alone.code(), Code::ResourceExhausted);
        let both = violation_status("p", &[size, InputViolation::invalid("y", "is required")]);
        assert_eq!(both.code(), Code::InvalidArgument);
        assert_eq!(both.message(), "x: too long; y: is required");
        assert_eq!(status::read(&both).violations.len(), 2);
    }
}
