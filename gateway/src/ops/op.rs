//! The interface of an op, a small pure step that runs inside the gateway.

use std::fmt;

use motet_config::{Diagnostic, Span};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use super::docs::OpDocs;
use super::error::{ArgumentId, OpError, OpErrorKind};
use super::ports::{Arguments, FormError, OpPort, Signature};
use crate::compute::cancel::Cancel;
use crate::scalar::Scalar;

/// Most operations of one run, about half a minute of one core. A run above it does not start.
pub const WORK_MAX: u64 = 1 << 36;

/// An op. One value serves all nodes; arguments and settings come with each call.
pub trait Op: Send + Sync {
    /// Returns the documentation.
    fn docs(&self) -> &'static OpDocs;

    /// Returns inputs, outputs and parameters for these arguments.
    ///
    /// # Errors
    /// When the arguments fit no form of the op.
    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError>;

    /// Returns the parameter that must be a literal, since [`Op::compile`] reads it at check time,
    /// and the reason.
    fn compiled_parameter(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Checks the value of [`Op::compiled_parameter`], and returns it as [`Op::run`] receives it;
    /// `None` after reporting an error.
    fn compile(&self, text: &str, context: &mut CompileContext<'_, '_>) -> Option<String> {
        let _ = context;
        Some(text.to_owned())
    }

    /// Returns the indices of the inputs that determine the content of an output: by default all.
    fn inputs_of(&self, output: usize, inputs: usize) -> Vec<usize> {
        let _ = output;
        (0..inputs).collect()
    }

    /// Returns an upper estimate of the operations of [`Op::run`], of about a nanosecond each. Must
    /// be cheap, since it is computed for every call.
    fn work(&self, call: &OpCall<'_>) -> u64;

    /// Computes the outputs, in the order of the signature; `None` for an absent output. Long loops
    /// check `cancel` at intervals.
    ///
    /// # Errors
    /// When the content of the arguments is invalid.
    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError>;
}

/// Outputs of an op, in the order of its signature; `None` for an absent output.
pub type Outputs = Vec<Option<Tensor>>;

/// Returns outputs that are all present.
pub(super) fn outputs(tensors: impl IntoIterator<Item = Tensor>) -> Result<Outputs, OpError> {
    Ok(tensors.into_iter().map(Some).collect())
}

/// Context of [`Op::compile`]: the node, and the diagnostics.
pub struct CompileContext<'a, 'd> {
    /// Arguments of the node.
    pub arguments: &'a Arguments<'a>,
    /// Position of the setting in the file.
    pub span: Span,
    /// Position of the name of an argument in the file.
    pub span_of: &'a dyn Fn(&str) -> Option<Span>,
    /// Receives the errors.
    pub report: &'d mut dyn FnMut(Diagnostic),
}

/// Arguments and settings of one run.
#[derive(Debug, Clone, Copy)]
pub struct OpCall<'a> {
    /// Form of the arguments, as [`Signature::form`].
    pub form: usize,
    /// One value for each input of the signature; `None` where it is absent.
    pub inputs: &'a [Option<Tensor>],
    /// One value for each parameter of the signature.
    pub settings: &'a [Scalar],
}

impl<'a> OpCall<'a> {
    /// Returns the input of this index.
    ///
    /// # Errors
    /// When it is absent.
    pub(super) fn input(&self, index: usize) -> Result<&'a Tensor, OpError> {
        let input = self.inputs.get(index).and_then(Option::as_ref);
        input.ok_or_else(|| OpErrorKind::Argument.in_input(index))
    }

    /// Returns all inputs.
    ///
    /// # Errors
    /// When one is absent.
    pub(super) fn all(&self) -> Result<Vec<&'a Tensor>, OpError> {
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// Returns the size of all inputs in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.inputs.iter().flatten().map(|t| t.data().len()).sum()
    }

    /// Returns the number of elements of the input of this index; 0 where it is absent.
    pub(super) fn len(&self, index: usize) -> usize {
        let input = self.inputs.get(index).and_then(Option::as_ref);
        input.map_or(0, Tensor::len)
    }

    /// Returns the length of the first dimension of the input of this index; 0 where it is absent.
    pub(super) fn rows(&self, index: usize) -> usize {
        let input = self.inputs.get(index).and_then(Option::as_ref);
        input.map_or(0, Tensor::rows)
    }

    /// Returns the parameter of this index as a count.
    pub(super) fn count(&self, index: usize) -> Result<usize, OpError> {
        match self.settings.get(index) {
            Some(Scalar::Int(n)) => usize::try_from(*n).map_err(|_| bad_setting(index)),
            _ => Err(bad_setting(index)),
        }
    }

    /// Returns the parameter of this index as a number, rounded to a `float` like the elements with
    /// which it is compared.
    pub(super) fn float(&self, index: usize) -> Result<f64, OpError> {
        match self
            .settings
            .get(index)
            .map(|s| s.rounded_to(ElementType::F32))
        {
            Some(Scalar::Float(x)) => Ok(x),
            _ => Err(bad_setting(index)),
        }
    }

    /// Returns the parameter of this index as a text.
    pub(super) fn text(&self, index: usize) -> Result<&'a str, OpError> {
        match self.settings.get(index) {
            Some(Scalar::String(s)) => Ok(s),
            _ => Err(bad_setting(index)),
        }
    }
}

fn bad_setting(index: usize) -> OpError {
    OpErrorKind::Argument.caused_by([ArgumentId::Setting(index)])
}

/// Returns the signature of an op for these arguments. An output is known only if it has the same
/// type whatever the unknown arguments are: to conclude anything from them would report the mistake
/// that made them unknown a second time.
///
/// # Errors
/// When the arguments choose no form of the op.
pub fn signature(op: &dyn Op, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
    let mut signature = op.signature(arguments)?;
    if arguments.inputs.iter().all(|a| !a.is_unknown()) {
        return Ok(signature);
    }
    for ty in UNKNOWN_TYPES {
        let mut assumed = arguments.clone();
        for argument in assumed.inputs.iter_mut().filter(|a| a.is_unknown()) {
            argument.ty = Some(ty);
        }
        // An argument of a type that the op refuses says nothing.
        let Ok(other) = op.signature(&assumed) else {
            continue;
        };
        for (port, other) in signature.outputs.iter_mut().zip(&other.outputs) {
            let shape = |port: &OpPort| port.ty.as_ref().map(|ty| (ty.element, ty.rank()));
            if shape(port) != shape(other) {
                port.ty = None;
            }
        }
    }
    Ok(signature)
}

/// Types, with their numbers of dimensions, that represent all that an unknown argument can have.
const UNKNOWN_TYPES: [(ElementType, usize); 8] = [
    (ElementType::F32, 0),
    (ElementType::F32, 1),
    (ElementType::F32, 2),
    (ElementType::F32, 3),
    (ElementType::String, 0),
    (ElementType::String, 1),
    (ElementType::I64, 0),
    (ElementType::I64, 1),
];

/// An op with the form that the arguments of a node selected.
#[derive(Clone, Copy)]
pub struct BoundOp {
    op: &'static dyn Op,
    form: usize,
}

impl BoundOp {
    /// Returns the op in this form.
    pub fn new(op: &'static dyn Op, form: usize) -> Self {
        Self { op, form }
    }

    /// Returns the name in a pipeline file.
    pub fn name(self) -> &'static str {
        self.op.docs().name
    }

    /// Returns the op.
    pub fn op(self) -> &'static dyn Op {
        self.op
    }

    /// Returns an upper estimate of the operations of [`BoundOp::run`], of about a nanosecond each.
    pub fn work(self, inputs: &[Option<Tensor>], settings: &[Scalar]) -> u64 {
        self.op.work(&self.call(inputs, settings))
    }

    /// Runs the op over its inputs and settings, both in the order of its signature.
    ///
    /// # Errors
    /// When the content of the arguments is invalid.
    pub fn run(
        self,
        inputs: &[Option<Tensor>],
        settings: &[Scalar],
        cancel: &Cancel,
    ) -> Result<Outputs, OpError> {
        self.op.run(&self.call(inputs, settings), cancel)
    }

    fn call<'a>(self, inputs: &'a [Option<Tensor>], settings: &'a [Scalar]) -> OpCall<'a> {
        OpCall {
            form: self.form,
            inputs,
            settings,
        }
    }
}

impl PartialEq for BoundOp {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.form) == (other.name(), other.form)
    }
}

impl fmt::Debug for BoundOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name(), self.form)
    }
}
