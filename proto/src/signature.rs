//! Signatures: named input and output tensors and parameters of a model, an op or a pipeline.
//!
//! A model service of motet sends its signature as JSON in `ModelMetadataResponse.properties`
//! under [`PROPERTY`]: the shapes of the protocol have only -1 for symbols, and neither scalars
//! nor strings. [`Signature::from_metadata`] reads it, or infers one from the metadata of a server
//! that does not know motet.

use serde::{Deserialize, Serialize};

use crate::inference::ModelMetadataResponse;
use crate::inference::model_metadata_response::TensorMetadata;
use crate::types::{Dim, ElementType, TensorType};

/// Key of the signature in `ModelMetadataResponse.properties`.
pub const PROPERTY: &str = "motet.signature";

/// Key in `ModelMetadataResponse.properties` of a text that names what was loaded: it is another
/// one after each load, also of a model with the same signature.
pub const INSTANCE_PROPERTY: &str = "motet.instance";

/// Inputs, outputs and parameters, each in declaration order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Signature {
    /// Input tensors.
    pub inputs: Vec<Port>,
    /// Output tensors.
    pub outputs: Vec<Port>,
    /// Settings of a call beside its tensors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

/// A named tensor of a signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The name.
    pub name: String,
    /// Element type and shape.
    #[serde(rename = "type")]
    pub ty: TensorType,
}

/// A scalar setting of a call, such as `max_tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name.
    pub name: String,
    /// `bool`, `int`, `float` or `string`.
    #[serde(rename = "type")]
    pub ty: TensorType,
    /// Value in a call that does not set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Smallest allowed number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Largest allowed number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Allowed values of a `string`; any value if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// Output dimensions whose length is the parameter's value in a call that sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets_length: Vec<OutputAxis>,
}

/// A dimension of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputAxis {
    /// Name of the output.
    pub output: String,
    /// Number of the dimension, from 0.
    pub axis: usize,
}

impl Port {
    /// Creates a port.
    pub fn new(name: impl Into<String>, ty: TensorType) -> Self {
        Self {
            name: name.into(),
            ty,
        }
    }
}

impl Parameter {
    /// Creates a parameter without a default, a range and a list of words.
    pub fn new(name: &str, element: ElementType) -> Self {
        Self {
            name: name.to_owned(),
            ty: TensorType::scalar(element),
            default: None,
            min: None,
            max: None,
            one_of: Vec::new(),
            sets_length: Vec::new(),
        }
    }

    /// Creates an integer parameter with its default and range, both ends included.
    pub fn int(name: &str, default: i64, min: i64, max: i64) -> Self {
        Self {
            default: Some(default.into()),
            min: Some(min),
            max: Some(max),
            ..Self::new(name, ElementType::I64)
        }
    }

    /// Creates a boolean parameter with its default.
    pub fn boolean(name: &str, default: bool) -> Self {
        Self {
            default: Some(default.into()),
            ..Self::new(name, ElementType::Bool)
        }
    }

    /// Creates a string parameter that takes one of these words.
    pub fn word<'w>(
        name: &str,
        default: Option<&str>,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Self {
        Self {
            default: default.map(Into::into),
            one_of: words.into_iter().map(str::to_owned).collect(),
            ..Self::new(name, ElementType::String)
        }
    }
}

impl Parameter {
    /// Returns whether every value of another parameter is one of this, too, and has the same
    /// effect on lengths.
    fn takes_values_of(&self, other: &Self) -> bool {
        let from = |min: Option<i64>| min.unwrap_or(i64::MIN);
        let to = |max: Option<i64>| max.unwrap_or(i64::MAX);
        let has_word = |word| self.one_of.contains(word);
        let has_words = match (&*self.one_of, &*other.one_of) {
            ([], _) => true,
            (_, []) => false,
            (_, words) => words.iter().all(has_word),
        };
        self.ty == other.ty
            && self.sets_length == other.sets_length
            && from(self.min) <= from(other.min)
            && to(self.max) >= to(other.max)
            && has_words
    }
}

impl Signature {
    /// Returns the input `name`.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|p| p.name == name)
    }

    /// Returns the output `name`.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|p| p.name == name)
    }

    /// Returns the parameter `name`.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// Returns whether a model with this signature can take the place of one with the signature
    /// `before` in every call that suited that one: it has the same inputs and outputs, and at
    /// least the parameters and their values.
    ///
    /// # Errors
    /// The first difference, as a clause.
    pub fn serves(&self, before: &Self) -> Result<(), String> {
        let list = |ports: &[Port]| {
            let port = |port: &Port| format!("{}: {}", port.name, port.ty);
            ports.iter().map(port).collect::<Vec<_>>().join(", ")
        };
        if self.inputs != before.inputs {
            let (now, then) = (list(&self.inputs), list(&before.inputs));
            return Err(format!("it takes `{now}`, before `{then}`"));
        }
        if self.outputs != before.outputs {
            let (now, then) = (list(&self.outputs), list(&before.outputs));
            return Err(format!("it gives `{now}`, before `{then}`"));
        }
        for then in &before.parameters {
            let name = &then.name;
            match self.parameter(name) {
                None => return Err(format!("it has no parameter `{name}`")),
                Some(now) if !now.takes_values_of(then) => {
                    return Err(format!("its parameter `{name}` takes other values"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the value of [`PROPERTY`].
    pub fn to_property(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the inputs in the metadata of the protocol.
    pub fn oip_inputs(&self) -> Vec<TensorMetadata> {
        self.inputs.iter().map(Port::to_metadata).collect()
    }

    /// Returns the outputs in the metadata of the protocol.
    pub fn oip_outputs(&self) -> Vec<TensorMetadata> {
        self.outputs.iter().map(Port::to_metadata).collect()
    }

    /// Reads the signature of a model of any server of the Open Inference Protocol.
    ///
    /// Without [`PROPERTY`], a leading -1 is the batch (the symbol `N` for all ports), each other
    /// -1 is a symbol of its own, and `BYTES` is `bytes`.
    ///
    /// # Errors
    /// When a datatype is not one of the protocol, or the property cannot be read.
    pub fn from_metadata(metadata: &ModelMetadataResponse) -> Result<Self, SignatureError> {
        if let Some(text) = metadata.properties.get(PROPERTY) {
            return serde_json::from_str(text).map_err(|e| SignatureError::Property(e.to_string()));
        }
        let ports = |tensors: &[TensorMetadata]| -> Result<Vec<Port>, SignatureError> {
            tensors.iter().map(Port::from_metadata).collect()
        };
        Ok(Self {
            inputs: ports(&metadata.inputs)?,
            outputs: ports(&metadata.outputs)?,
            parameters: Vec::new(),
        })
    }
}

impl Port {
    fn to_metadata(&self) -> TensorMetadata {
        TensorMetadata {
            name: self.name.clone(),
            datatype: self.ty.element.oip_name().to_owned(),
            shape: self.ty.oip_shape(),
        }
    }

    fn from_metadata(tensor: &TensorMetadata) -> Result<Self, SignatureError> {
        let element =
            ElementType::from_oip(&tensor.datatype).ok_or_else(|| SignatureError::Datatype {
                tensor: tensor.name.clone(),
                datatype: tensor.datatype.clone(),
            })?;
        let dims = tensor
            .shape
            .iter()
            .enumerate()
            .map(|(axis, &n)| match usize::try_from(n) {
                Ok(n) => Dim::Fixed(n),
                Err(_) if axis == 0 => Dim::Symbol("N".to_owned()),
                Err(_) => Dim::Symbol(format!("{}_{axis}", symbol_part(&tensor.name))),
            })
            .collect();
        Ok(Self::new(&tensor.name, TensorType::new(element, dims)))
    }
}

/// Returns the beginning of a symbol that is named after a tensor.
fn symbol_part(name: &str) -> String {
    let tail: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("D_{tail}")
}

/// Metadata of a model that has no readable signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Datatype that the protocol does not have.
    #[error("tensor `{tensor}` has the unknown datatype `{datatype}`")]
    Datatype {
        /// Name of the tensor.
        tensor: String,
        /// The datatype.
        datatype: String,
    },
    /// Property that cannot be read.
    #[error("property `{PROPERTY}` cannot be read: {0}")]
    Property(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed() -> Signature {
        Signature {
            inputs: vec![Port::new("text", "string[N]".parse().unwrap())],
            outputs: vec![Port::new("embedding", "float[N,384]".parse().unwrap())],
            parameters: vec![Parameter::int("max_tokens", 256, 2, 256)],
        }
    }

    fn metadata(signature: &Signature) -> ModelMetadataResponse {
        ModelMetadataResponse {
            name: "minilm".to_owned(),
            inputs: signature.oip_inputs(),
            outputs: signature.oip_outputs(),
            ..Default::default()
        }
    }

    #[test]
    fn a_signature_is_read_back_from_metadata() {
        let mut m = metadata(&embed());
        assert_eq!(m.inputs[0].shape, [-1]);
        assert_eq!(m.outputs[0].datatype, "FP32");
        m.properties
            .insert(PROPERTY.to_owned(), embed().to_property());
        assert_eq!(Signature::from_metadata(&m).unwrap(), embed());
    }

    #[test]
    fn parameters_of_every_kind_are_read_back() {
        let mut signature = embed();
        signature.parameters = vec![
            Parameter::word("truncate", Some("right"), ["error", "right", "left"]),
            Parameter::new("prompt", ElementType::String),
            Parameter::boolean("normalize", true),
            Parameter {
                sets_length: vec![OutputAxis {
                    output: "embedding".to_owned(),
                    axis: 1,
                }],
                ..Parameter::int("dimensions", 384, 1, 384)
            },
        ];
        let read: Signature = serde_json::from_str(&signature.to_property()).unwrap();
        assert_eq!(read, signature);
        // The answer of an older server lacks the fields that it does not know.
        let old = r#"{"inputs":[],"outputs":[],"parameters":[{"name":"k","type":"int"}]}"#;
        let old: Signature = serde_json::from_str(old).unwrap();
        assert_eq!(old.parameters, [Parameter::new("k", ElementType::I64)]);
    }

    #[test]
    fn metadata_without_a_signature_has_the_batch_symbol() {
        let foreign = Signature::from_metadata(&metadata(&embed())).unwrap();
        assert_eq!(foreign.inputs[0].ty.to_string(), "bytes[N]");
        assert_eq!(foreign.outputs[0].ty.to_string(), "float[N,384]");
    }

    #[test]
    fn unreadable_metadata_is_refused() {
        let mut m = metadata(&embed());
        m.inputs[0].datatype = "TEXT".to_owned();
        assert!(Signature::from_metadata(&m).is_err());
        m.properties.insert(PROPERTY.to_owned(), "{".to_owned());
        assert!(matches!(
            Signature::from_metadata(&m),
            Err(SignatureError::Property(_))
        ));
    }
}
