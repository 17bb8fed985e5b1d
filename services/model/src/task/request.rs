//! [`Request`]: the tensors and parameters of a call.

use std::borrow::Cow;

use motet_proto::{Element, Tensor};
use motet_runtime::flow::Flow;
use motet_runtime::status::internal;
use tonic::Status;

use crate::limits::Limits;
use crate::request::{Inputs, Parameters};

/// The request of a call: its tensors are those of the signature, each of its type and shape, and
/// so are its parameters.
#[derive(Debug)]
pub struct Request {
    pub(crate) inputs: Inputs,
    pub(crate) parameters: Parameters,
    pub(crate) wanted: Vec<String>,
    pub(crate) flow: Flow,
    pub(crate) limits: Limits,
}

impl Request {
    /// Returns an input tensor.
    ///
    /// # Errors
    /// INTERNAL for a name that the signature does not have.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, Status> {
        let tensor = self.inputs.tensor(name);
        tensor.ok_or_else(|| internal(format!("the signature has no input `{name}`")).into())
    }

    /// Returns the values of an input tensor, in row-major order.
    ///
    /// # Errors
    /// INTERNAL for a name that the signature does not have, or has with another element type.
    pub fn values<T: Element>(&self, name: &str) -> Result<Cow<'_, [T]>, Status> {
        let values = self.tensor(name)?.values();
        values.map_err(|error| internal(format!("input `{name}`: {error}")).into())
    }

    /// Returns the elements of a `string` or `bytes` input.
    ///
    /// # Errors
    /// INTERNAL for a name that the signature does not have, or has with another element type.
    pub fn byte_strings(&self, name: &str) -> Result<Vec<&[u8]>, Status> {
        let strings = self.tensor(name)?.as_strings();
        let strings = strings.map_err(|error| internal(format!("input `{name}`: {error}")))?;
        Ok(strings.iter().collect())
    }

    /// Returns the texts of a `string` input; none where the signature has no such input.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.inputs.texts(name)
    }

    /// Returns the value of an integer parameter, if the call gives it. Ranges in a signature begin
    /// at 0 or above.
    pub fn count(&self, name: &str) -> Option<usize> {
        self.parameters.count(name)
    }

    /// Returns the value of a boolean parameter, if the call gives it.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.parameters.flag(name)
    }

    /// Returns the value of a string parameter, if the call gives it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.parameters.text(name)
    }

    /// Returns whether the call wants an output.
    pub fn wants(&self, output: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|name| name == output)
    }

    /// Returns the caller as far as capacity is shared among callers.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Returns the limits of a call.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}
