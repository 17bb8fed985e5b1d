//! The input tensors of a request, checked against the signature.

use std::collections::HashMap;

use motet_proto::inference::ModelInferRequest;
use motet_proto::oip::{Encoding, take_inputs};
use motet_proto::signature::{Port, Signature};
use motet_proto::types::Dim;
use motet_proto::{ElementType, Tensor};
use motet_runtime::status::{Reason, invalid_argument, invalid_arguments, resource_exhausted};
use tonic::Status;

use super::hint;
use crate::limits::Limits;

/// Parameters of a tensor that would change how it is sent or answered; they are refused, since
/// ignoring them would give a wrong answer.
const UNSUPPORTED_PARAMETERS: [&str; 2] = ["shared_memory_region", "classification"];

/// The shape of a scalar in the protocol.
static SCALAR: [Dim; 1] = [Dim::Fixed(1)];

/// The input tensors of a call: exactly the ports of the signature, each of its type and shape.
#[derive(Debug, Default)]
pub(crate) struct Inputs(Vec<(String, Tensor)>);

impl Inputs {
    /// Takes the tensors out of a request. Also returns the form in which they came, raw or typed,
    /// which the response will have too.
    ///
    /// # Errors
    /// INVALID_ARGUMENT that lists every tensor that is missing, unknown or not of its type;
    /// RESOURCE_EXHAUSTED for a list or a text over the limits.
    pub(crate) fn take(
        request: &mut ModelInferRequest,
        signature: &Signature,
        limits: &Limits,
    ) -> Result<(Self, Encoding), Status> {
        let parameters = request.inputs.iter().map(|t| (&t.name, &t.parameters));
        let wanted = request.outputs.iter().map(|t| (&t.name, &t.parameters));
        for (tensor, parameters) in parameters.chain(wanted) {
            if let Some(name) = UNSUPPORTED_PARAMETERS
                .iter()
                .find(|p| parameters.contains_key(**p))
            {
                let description = format!("the parameter `{name}` is not supported");
                return Err(invalid_argument(tensor, description).into());
            }
        }
        let (tensors, encoding) = take_inputs(request)
            .map_err(|error| invalid_argument(error.field(), error.to_string()).build())?;
        Ok((Self::bind(tensors, signature, limits)?, encoding))
    }

    fn bind(
        tensors: Vec<(String, Tensor)>,
        signature: &Signature,
        limits: &Limits,
    ) -> Result<Self, Status> {
        let mut mistakes = Vec::new();
        let mut bound = Vec::new();
        let mut symbols = HashMap::new();
        for (name, tensor) in tensors {
            let fitted = match signature.input(&name) {
                Some(port) => fit(port, tensor, &mut symbols),
                None => {
                    let ports = signature.inputs.iter().map(|port| port.name.as_str());
                    Err(format!("unknown tensor; {}", hint(&name, "input", ports)))
                }
            };
            match fitted {
                Ok(tensor) => bound.push((name, tensor)),
                Err(mistake) => mistakes.push((name, mistake)),
            }
        }
        let missing = signature.inputs.iter().filter(|port| {
            let named = |(name, _): &(String, _)| *name == port.name;
            !bound.iter().any(named) && !mistakes.iter().any(|(name, _)| *name == port.name)
        });
        let missing: Vec<_> = missing
            .map(|port| (port.name.clone(), format!("missing; it is {}", port.ty)))
            .collect();
        mistakes.extend(missing);
        if !mistakes.is_empty() {
            return Err(invalid_arguments(mistakes).into());
        }
        for (name, tensor) in &bound {
            check_limits(name, tensor, limits)?;
        }
        Ok(Self(bound))
    }

    /// Returns an input.
    pub(crate) fn tensor(&self, name: &str) -> Option<&Tensor> {
        let tensor = self.0.iter().find(|(n, _)| n == name);
        tensor.map(|(_, tensor)| tensor)
    }

    /// Returns the texts of a `string` input; empty where the signature has no such input.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        let strings = self
            .tensor(name)
            .and_then(|tensor| tensor.as_strings().ok());
        strings.map_or_else(Vec::new, |strings| strings.texts().collect())
    }
}

/// Returns the tensor as its port wants it, or what is wrong with it. `symbols` are the lengths
/// seen so far of the dimensions that have a name.
fn fit<'s>(
    port: &'s Port,
    tensor: Tensor,
    symbols: &mut HashMap<&'s str, usize>,
) -> Result<Tensor, String> {
    let wanted = port.ty.element.oip_name();
    let found = tensor.element().oip_name();
    if found != wanted {
        return Err(format!("datatype is {found}, must be {wanted}"));
    }
    let dims = match &port.ty.dims[..] {
        [] => &SCALAR,
        dims => dims,
    };
    let shape = tensor.shape();
    let fits = shape.len() == dims.len()
        && dims.iter().zip(shape).all(|(dim, length)| match dim {
            Dim::Fixed(wanted) => wanted == length,
            Dim::Symbol(symbol) => *symbols.entry(symbol).or_insert(*length) == *length,
        });
    if !fits {
        let wanted: Vec<String> = dims.iter().map(Dim::to_string).collect();
        return Err(format!(
            "shape is {shape:?}, must be [{}]",
            wanted.join(", ")
        ));
    }
    match port.ty.element {
        ElementType::String => tensor
            .into_text(ElementType::String)
            .map_err(|error| error.to_string()),
        _ => Ok(tensor),
    }
}

fn check_limits(name: &str, tensor: &Tensor, limits: &Limits) -> Result<(), Status> {
    let rows = tensor.rows();
    if rows > limits.rows {
        let message = format!(
            "{name}: {rows} rows; a call takes at most {}, send several calls",
            limits.rows
        );
        return Err(resource_exhausted(message, None)
            .reason(Reason::TooManyRows)
            .field(name, format!("{rows} rows"))
            .with("limit", limits.rows.to_string())
            .into());
    }
    let Ok(texts) = tensor.as_strings() else {
        return Ok(());
    };
    let (most, reason) = match tensor.element() {
        ElementType::String => (limits.text_bytes, Reason::TextTooLong),
        _ => (limits.bytes, Reason::OverLimit),
    };
    let mut lengths = texts.iter().map(<[u8]>::len).enumerate();
    if let Some((at, bytes)) = lengths.find(|(_, bytes)| *bytes > most) {
        let field = format!("{name}[{at}]");
        let message = match reason {
            Reason::TextTooLong => {
                format!("{field}: {bytes} bytes; a text has at most {most}, split it")
            }
            _ => format!("{field}: {bytes} bytes; this model takes at most {most}"),
        };
        return Err(resource_exhausted(message, None)
            .reason(reason)
            .field(field, format!("{bytes} bytes"))
            .with("limit", most.to_string())
            .into());
    }
    Ok(())
}
