//! Minimum and maximum, for `min`, `max` and the `max` of an `ensemble`.

use motet_proto::dispatch;
use motet_proto::tensor::{Element, Tensor, TensorError};
use motet_proto::types::{ElementType, TensorType};

use super::error::{OpError, OpErrorKind};
use super::op::{OpCall, Outputs, outputs};
use super::ports::{ArgumentType, Arguments, FormError, Signature, port_like, symbols};
use super::work;
use crate::compute::cancel::Cancel;

/// Index of the form with several inputs; the other form has one.
const ELEMENTWISE: usize = 0;

/// An end of the order of numbers. NaN is chosen only if all numbers are NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extreme {
    Smallest,
    Largest,
}

impl Extreme {
    const fn name(self) -> &'static str {
        match self {
            Self::Smallest => "smallest element",
            Self::Largest => "largest element",
        }
    }

    /// `true` if `value` is more extreme than the best number so far.
    #[allow(clippy::eq_op)] // Only NaN is unequal to itself.
    fn beats<T: PartialOrd>(self, value: T, best: T) -> bool {
        let further = match self {
            Self::Smallest => value < best,
            Self::Largest => value > best,
        };
        further || best != best && value == value
    }

    /// Returns the extreme of each element over tensors of one type and shape.
    pub(super) fn elementwise(self, parts: &[&Tensor], cancel: &Cancel) -> Result<Tensor, OpError> {
        let first = *parts.first().ok_or(TensorError::NotList)?;
        dispatch!(first.element(), {
            number T => self.elementwise_of::<T>(first, &parts[1..], cancel),
            _ => Err(OpErrorKind::Argument.into()),
        })
    }

    fn elementwise_of<T: Element + PartialOrd>(
        self,
        first: &Tensor,
        others: &[&Tensor],
        cancel: &Cancel,
    ) -> Result<Tensor, OpError> {
        let mut meter = cancel.meter();
        let mut best = first.values::<T>()?.into_owned();
        for other in others {
            meter.spend(best.len())?;
            if other.shape() != first.shape() {
                return Err(OpError::from(TensorError::Reshape {
                    from: other.shape().to_vec(),
                    to: first.shape().to_vec(),
                }));
            }
            for (best, value) in best.iter_mut().zip(other.values::<T>()?.iter()) {
                if self.beats(*value, *best) {
                    *best = *value;
                }
            }
        }
        Ok(Tensor::from_values(first.shape().to_vec(), best)?)
    }

    /// Returns the extreme along the last dimension, and the index of its first occurrence.
    fn along_rows(self, tensor: &Tensor, cancel: &Cancel) -> Result<[Tensor; 2], OpError> {
        dispatch!(tensor.element(), {
            number T => self.along_rows_of::<T>(tensor, cancel),
            _ => Err(OpErrorKind::Argument.in_input(0)),
        })
    }

    fn along_rows_of<T: Element + PartialOrd>(
        self,
        tensor: &Tensor,
        cancel: &Cancel,
    ) -> Result<[Tensor; 2], OpError> {
        let Some((&width, outer)) = tensor.shape().split_last() else {
            return Err(OpErrorKind::Argument.in_input(0));
        };
        let rows: usize = outer.iter().product();
        if width == 0 && rows > 0 {
            return Err(OpErrorKind::EmptyRow(self.name()).in_input(0));
        }
        let mut meter = cancel.meter();
        let values = tensor.values::<T>()?;
        let (mut best, mut index) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in values.chunks_exact(width.max(1)) {
            meter.spend(width)?;
            let mut at = 0;
            for (i, value) in row.iter().enumerate() {
                if self.beats(*value, row[at]) {
                    at = i;
                }
            }
            best.push(row[at]);
            index.push(at as i32);
        }
        Ok([
            Tensor::from_values(outer.to_vec(), best)?,
            Tensor::from_values(outer.to_vec(), index)?,
        ])
    }

    /// Returns the ports of the op of this name: one list, or several values of one type and shape.
    pub(super) fn signature(
        self,
        op: &str,
        arguments: &Arguments<'_>,
    ) -> Result<Signature, FormError> {
        let inputs = &arguments.inputs;
        if inputs.is_empty() {
            return Err(FormError::inputs(format!(
                "`{op}` needs at least one input"
            )));
        }
        let known = |a: &ArgumentType<'_>| a.ty.is_some();
        // A literal can be of any numeric type, so the first other value decides.
        let decides = inputs.iter().find(|a| known(a) && !a.literal);
        let decides = decides.or_else(|| inputs.iter().find(|a| known(a)));
        let ty = decides.and_then(|a| a.ty);
        if let (Some(argument), Some((element, _))) = (decides, ty)
            && !element.is_number()
        {
            let name = argument.name;
            let message = format!("`{op}` compares numbers, but `{name}` is {element}");
            return Err(FormError::input(name, message));
        }
        if let ([only], Some((element, 0))) = (inputs.as_slice(), ty) {
            let name = only.name;
            let message = format!("`{op}` has only `{name}` to choose from, a single {element}");
            return Err(FormError {
                help: Some("give it a list, or several values"),
                ..FormError::input(name, message)
            });
        }
        let of_rank = |name: &str, rank: usize| {
            let ty = ty.map(|(element, _)| TensorType::new(element, symbols("D", 0..rank)));
            port_like(name, ty)
        };
        let rank = ty.map_or(0, |(_, rank)| rank);
        Ok(if let [only] = inputs.as_slice() {
            let index = of_rank("index", rank.saturating_sub(1));
            let index = super::ports::OpPort {
                ty: index
                    .ty
                    .map(|ty| TensorType::new(ElementType::I32, ty.dims)),
                ..index
            };
            Signature {
                form: ELEMENTWISE + 1,
                inputs: vec![of_rank(only.name, rank)],
                outputs: vec![of_rank("out", rank.saturating_sub(1)), index],
                parameters: Vec::new(),
            }
        } else {
            Signature {
                form: ELEMENTWISE,
                inputs: inputs.iter().map(|a| of_rank(a.name, rank)).collect(),
                outputs: vec![of_rank("out", rank)],
                parameters: Vec::new(),
            }
        })
    }

    /// Returns the work of the op.
    pub(super) fn work(call: &OpCall<'_>) -> u64 {
        let numbers = call.inputs.iter().flatten().map(Tensor::len);
        work::CONVERT.saturating_mul(numbers.sum::<usize>() as u64)
    }

    /// Runs the op.
    pub(super) fn run(self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        match call.form {
            ELEMENTWISE => outputs([self.elementwise(&call.all()?, cancel)?]),
            _ => outputs(self.along_rows(call.input(0)?, cancel)?),
        }
    }
}
