//! [`Answer`]: the outputs of a call.

use std::borrow::Cow;
use std::time::Duration;

use motet_proto::Tensor;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::signature::{Port, Signature};
use motet_proto::types::Dim;

use crate::request::{Inputs, Parameters};

/// The outputs of a call, by name. They are compared with the signature: one that is missing, or
/// has another element type or shape, fails the call with an INTERNAL error, and so does a number
/// that is not finite.
#[derive(Debug, Default)]
pub struct Answer {
    pub(super) outputs: Vec<(Cow<'static, str>, Tensor)>,
    pub(super) parameters: Vec<(&'static str, ParameterChoice)>,
    pub(super) computed: Duration,
    may_be_infinite: bool,
}

impl Answer {
    /// Returns an answer with these outputs. Those that the call does not want may be left out.
    pub fn new<N: Into<Cow<'static, str>>>(outputs: impl IntoIterator<Item = (N, Tensor)>) -> Self {
        let outputs = outputs.into_iter();
        Self {
            outputs: outputs
                .map(|(name, tensor)| (name.into(), tensor))
                .collect(),
            ..Self::default()
        }
    }

    /// Adds parameters of the response.
    #[must_use]
    pub fn with_parameters(
        mut self,
        parameters: impl IntoIterator<Item = (&'static str, ParameterChoice)>,
    ) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Says how much of the time of making the answer was computing, which counts as that of the
    /// model.
    #[must_use]
    pub fn with_computed(mut self, time: Duration) -> Self {
        self.computed = time;
        self
    }

    /// Says that the outputs need not be looked through for numbers that are not finite: the rows
    /// were, or such numbers mean something.
    #[must_use]
    pub fn may_be_infinite(mut self) -> Self {
        self.may_be_infinite = true;
        self
    }

    /// Compares the outputs with a signature, for a call that wants the outputs `wanted`, all if
    /// there are none.
    ///
    /// # Errors
    /// The first difference, in one line.
    pub(super) fn check(
        &self,
        signature: &Signature,
        call: &CallLengths,
        wanted: &[String],
    ) -> Result<(), String> {
        let mut lengths = Lengths::of(signature, call);
        for port in &signature.outputs {
            let is_wanted = wanted.is_empty() || wanted.contains(&port.name);
            let output = self.outputs.iter().find(|(name, _)| *name == port.name);
            let Some((_, tensor)) = output else {
                if is_wanted {
                    return Err(format!("the output `{}` is missing", port.name));
                }
                continue;
            };
            lengths.check(port, tensor, |axis| {
                call.chosen(signature, &port.name, axis)
            })?;
            if !self.may_be_infinite && !is_finite(tensor) {
                return Err(format!("the output `{}` is not finite", port.name));
            }
        }
        let unknown = self
            .outputs
            .iter()
            .find(|(name, _)| signature.output(name).is_none());
        match unknown {
            Some((name, _)) => Err(format!("the signature has no output `{name}`")),
            None => Ok(()),
        }
    }
}

/// Returns whether all numbers of a tensor are finite.
fn is_finite(tensor: &Tensor) -> bool {
    let f32s = tensor
        .values::<f32>()
        .map(|values| values.iter().all(|v| v.is_finite()));
    let f64s = tensor
        .values::<f64>()
        .map(|values| values.iter().all(|v| v.is_finite()));
    f32s.or(f64s).unwrap_or(true)
}

/// The lengths that a request gives.
#[derive(Debug, Default)]
pub(super) struct CallLengths {
    /// The shapes of the inputs, one after the other in the order of the signature.
    shapes: Vec<usize>,
    /// Lengths that parameters of the call set, by the number of the parameter.
    chosen: Vec<(usize, usize)>,
}

impl CallLengths {
    pub(super) fn of(signature: &Signature, inputs: &Inputs, parameters: &Parameters) -> Self {
        let tensors = signature
            .inputs
            .iter()
            .filter_map(|port| inputs.tensor(&port.name));
        let numbered = signature.parameters.iter().enumerate();
        let setting = numbered.filter(|(_, parameter)| !parameter.sets_length.is_empty());
        Self {
            shapes: tensors.flat_map(Tensor::shape).copied().collect(),
            chosen: setting
                .filter_map(|(at, parameter)| Some((at, parameters.count(&parameter.name)?)))
                .collect(),
        }
    }

    /// Returns the length of an output's axis, if the call sets it.
    fn chosen(&self, signature: &Signature, output: &str, axis: usize) -> Option<usize> {
        let sets_it = |at: usize| {
            let mut sets = signature.parameters[at].sets_length.iter();
            sets.any(|set| set.output == output && set.axis == axis)
        };
        let chosen = self.chosen.iter().find(|(at, _)| sets_it(*at))?;
        Some(chosen.1)
    }
}

/// The lengths of the symbols of a signature in one call.
struct Lengths<'s>(Vec<(&'s str, usize)>);

impl<'s> Lengths<'s> {
    fn of(signature: &'s Signature, call: &CallLengths) -> Self {
        let mut lengths = Self(Vec::new());
        let mut shapes = call.shapes.iter();
        for port in &signature.inputs {
            // A scalar is a tensor with one value.
            for at in 0..port.ty.dims.len().max(1) {
                let length = shapes.next().copied().unwrap_or_default();
                if let Some(Dim::Symbol(symbol)) = port.ty.dims.get(at) {
                    lengths.bind(symbol, length);
                }
            }
        }
        lengths
    }

    /// Returns the length of a symbol, which is `length` if it has none yet.
    fn bind(&mut self, symbol: &'s str, length: usize) -> usize {
        match self.0.iter().find(|(known, _)| *known == symbol) {
            Some((_, known)) => *known,
            None => {
                self.0.push((symbol, length));
                length
            }
        }
    }

    /// Compares a tensor with its port. `chosen` is the length of an axis that the call sets.
    fn check(
        &mut self,
        port: &'s Port,
        tensor: &Tensor,
        chosen: impl Fn(usize) -> Option<usize>,
    ) -> Result<(), String> {
        let name = &port.name;
        if tensor.element().oip_name() != port.ty.element.oip_name() {
            return Err(format!(
                "the output `{name}` is of the type {}, but the signature says {}",
                tensor.element().oip_name(),
                port.ty.element.oip_name()
            ));
        }
        // A scalar is a tensor with one value.
        let scalar = [Dim::Fixed(1)];
        let dims = if port.ty.dims.is_empty() {
            &scalar[..]
        } else {
            &port.ty.dims
        };
        let expected: Vec<usize> = dims
            .iter()
            .enumerate()
            .map(|(axis, dim)| match dim {
                Dim::Fixed(length) => chosen(axis).unwrap_or(*length),
                Dim::Symbol(symbol) => {
                    let known = self.0.iter().find(|(known, _)| *known == symbol);
                    let found = tensor.shape().get(axis).copied().unwrap_or_default();
                    known.map_or(found, |(_, length)| *length)
                }
            })
            .collect();
        if expected != tensor.shape() {
            return Err(format!(
                "the output `{name}` has the shape {:?}, but the signature says {}, here \
                 {expected:?}",
                tensor.shape(),
                port.ty
            ));
        }
        for (dim, length) in port.ty.dims.iter().zip(tensor.shape()) {
            if let Dim::Symbol(symbol) = dim {
                self.bind(symbol, *length);
            }
        }
        Ok(())
    }
}
