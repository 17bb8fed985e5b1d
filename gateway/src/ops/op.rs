//! The interface of an op: a small pure step that runs inside the gateway.

use std::fmt;

use motet_config::{Diagnostic, Span};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use super::docs::OpDocs;
use super::error::{ArgumentId, OpError, OpErrorKind};
use super::ports::{Arguments, FormError, Signature};
use crate::compute::cancel::Cancel;
use crate::scalar::Scalar;

/// The most work of one op: more is refused before it starts. About half a minute of one core.
pub const WORK_MAX: u64 = 1 << 36;

/// An op. One value of it serves all nodes: what a node asks for comes with each call.
pub trait Op: Send + Sync {
    /// Name, purpose and forms, for people.
    fn docs(&self) -> &'static OpDocs;

    /// Inputs, outputs and parameters for these arguments.
    ///
    /// # Errors
    /// When the arguments are so far from every form that there are no ports to compare them with.
    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError>;

    /// The parameter that must be written in the file, since the check reads its value, and the
    /// reason why. It goes through [`Op::compile`].
    fn compiled_parameter(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Checks the value of [`Op::compiled_parameter`], and returns it in the form that
    /// [`Op::run`] receives; `None` where it is wrong, which was reported.
    fn compile(&self, text: &str, context: &mut CompileContext<'_, '_>) -> Option<String> {
        let _ = context;
        Some(text.to_owned())
    }

    /// The inputs that make the content of an output, by index: all, unless the op says otherwise.
    fn inputs_of(&self, output: usize, inputs: usize) -> Vec<usize> {
        let _ = output;
        (0..inputs).collect()
    }

    /// Upper estimate of the elementary operations of [`Op::run`], each about a nanosecond. Must
    /// itself be cheap: it is computed for every call.
    fn work(&self, call: &OpCall<'_>) -> u64;

    /// Computes the outputs, in the order of the signature; `None` for an output that is absent.
    /// Long loops look at `cancel` every now and then.
    ///
    /// # Errors
    /// When the content of the arguments does not allow it.
    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError>;
}

/// The outputs of an op, in the order of its signature; `None` for one that is absent.
pub type Outputs = Vec<Option<Tensor>>;

/// Outputs that are all present.
pub(super) fn outputs(tensors: impl IntoIterator<Item = Tensor>) -> Result<Outputs, OpError> {
    Ok(tensors.into_iter().map(Some).collect())
}

/// What [`Op::compile`] sees of a node, and where it reports.
pub struct CompileContext<'a, 'd> {
    /// The arguments of the node.
    pub arguments: &'a Arguments<'a>,
    /// The place of the setting in the file.
    pub span: Span,
    /// The place of an argument's name in the file.
    pub span_of: &'a dyn Fn(&str) -> Option<Span>,
    /// Receives what is wrong.
    pub report: &'d mut dyn FnMut(Diagnostic),
}

/// The values that an op is run on.
#[derive(Debug, Clone, Copy)]
pub struct OpCall<'a> {
    /// The form that the arguments chose, as [`Signature::form`].
    pub form: usize,
    /// One value for each input of the signature; `None` where it is absent.
    pub inputs: &'a [Option<Tensor>],
    /// One value for each parameter of the signature.
    pub settings: &'a [Scalar],
}

impl<'a> OpCall<'a> {
    /// The input of this index, which must be present.
    pub(super) fn input(&self, index: usize) -> Result<&'a Tensor, OpError> {
        let input = self.inputs.get(index).and_then(Option::as_ref);
        input.ok_or_else(|| OpErrorKind::Argument.in_input(index))
    }

    /// All inputs, which must be present.
    pub(super) fn all(&self) -> Result<Vec<&'a Tensor>, OpError> {
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// The bytes of all inputs.
    pub(super) fn bytes(&self) -> usize {
        self.inputs.iter().flatten().map(|t| t.data().len()).sum()
    }

    /// The number of elements of the input of this index; 0 where it is absent.
    pub(super) fn len(&self, index: usize) -> usize {
        let input = self.inputs.get(index).and_then(Option::as_ref);
        input.map_or(0, Tensor::len)
    }

    /// The length of the first dimension of the input of this index; 0 where it is absent.
    pub(super) fn rows(&self, index: usize) -> usize {
        let input = self.inputs.get(index).and_then(Option::as_ref);
        input.map_or(0, Tensor::rows)
    }

    /// The parameter of this index as a count.
    pub(super) fn count(&self, index: usize) -> Result<usize, OpError> {
        match self.settings.get(index) {
            Some(Scalar::Int(n)) => usize::try_from(*n).map_err(|_| bad_setting(index)),
            _ => Err(bad_setting(index)),
        }
    }

    /// The parameter of this index as a number, which is a `float` like the elements that it is
    /// compared with.
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

    /// The parameter of this index as a text.
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

/// An op of the registry with the form that the arguments of a node chose.
#[derive(Clone, Copy)]
pub struct BoundOp {
    op: &'static dyn Op,
    form: usize,
}

impl BoundOp {
    /// The op in this form.
    pub fn new(op: &'static dyn Op, form: usize) -> Self {
        Self { op, form }
    }

    /// The name in a pipeline file.
    pub fn name(self) -> &'static str {
        self.op.docs().name
    }

    /// The op.
    pub fn op(self) -> &'static dyn Op {
        self.op
    }

    /// Upper estimate of the elementary operations of [`BoundOp::run`], each about a nanosecond.
    pub fn work(self, inputs: &[Option<Tensor>], settings: &[Scalar]) -> u64 {
        self.op.work(&self.call(inputs, settings))
    }

    /// Runs the op over its inputs and settings, both in the order of its signature.
    ///
    /// # Errors
    /// When the content of the arguments does not allow it.
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
