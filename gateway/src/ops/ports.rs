//! Ports of ops. Ops are generic (columns of any type, any number of columns), so their ports
//! depend on the arguments of a node: [`Op::signature`] returns ports with symbols for the types of
//! the arguments, and the check compares the arguments with them as with the ports of a model.
//!
//! [`Op::signature`]: super::Op::signature

use motet_proto::signature::Parameter;
use motet_proto::types::{Dim, ElementType, TensorType};

use crate::scalar::Scalar;

/// Largest value of a parameter that limits the number of results (`k`, `top`).
pub const K_MAX: i64 = 65_536;

/// An argument of a node, as known to the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentType<'a> {
    /// Name of the input.
    pub name: &'a str,
    /// Element type and number of dimensions; `None` if an error elsewhere leaves them unknown.
    pub ty: Option<(ElementType, usize)>,
    /// `true` for a literal, whose type may change with the context: `2` can be any number.
    pub literal: bool,
}

impl ArgumentType<'_> {
    /// Returns `true` if the type is unknown because of a mistake elsewhere. An empty list that is
    /// written in the file has no type, either, but is no mistake.
    pub fn is_unknown(&self) -> bool {
        self.ty.is_none() && !self.literal
    }
}

/// Arguments and settings of a node, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Arguments<'a> {
    /// Arguments under `in`.
    pub inputs: Vec<ArgumentType<'a>>,
    /// Settings under `with`: the value of a scalar literal, `None` for others.
    pub settings: Vec<(&'a str, Option<&'a Scalar>)>,
}

impl<'a> Arguments<'a> {
    /// Returns whether there is an argument of this name.
    pub fn has(&self, name: &str) -> bool {
        self.inputs.iter().any(|a| a.name == name)
    }

    /// Returns element type and number of dimensions of the argument of this name, if known.
    pub fn type_of(&self, name: &str) -> Option<(ElementType, usize)> {
        self.inputs.iter().find(|a| a.name == name)?.ty
    }

    /// Returns whether there is a setting of this name.
    pub fn has_setting(&self, name: &str) -> bool {
        self.settings.iter().any(|(n, _)| *n == name)
    }

    /// Returns the setting of this name if it is a string literal.
    pub fn word(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.settings.iter().find(|(n, _)| *n == name)?;
        match value {
            Some(Scalar::String(word)) => Some(word),
            _ => None,
        }
    }
}

/// A port of an op.
#[derive(Debug, Clone, PartialEq)]
pub struct OpPort {
    /// The name.
    pub name: String,
    /// Type; `None` if it depends on an argument of unknown type.
    pub ty: Option<TensorType>,
    /// `true` if the value may be absent.
    pub optional: bool,
}

/// Inputs, outputs and parameters of an op for one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Index in [`OpDocs::forms`] of the form that the arguments selected.
    ///
    /// [`OpDocs::forms`]: super::docs::OpDocs::forms
    pub form: usize,
    /// Inputs, in the order in which the op receives them.
    pub inputs: Vec<OpPort>,
    /// Outputs, in the order in which the op returns them.
    pub outputs: Vec<OpPort>,
    /// Parameters, in the order in which the op receives their values. Those without a default are
    /// required.
    pub parameters: Vec<Parameter>,
}

/// Error of arguments that fit no form of an op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormError {
    /// Message.
    pub message: String,
    /// Input at fault; `None` for all inputs together.
    pub input: Option<String>,
    /// Suggested correction.
    pub help: Option<&'static str>,
}

impl FormError {
    /// Returns an error of all inputs together.
    pub(super) fn inputs(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            input: None,
            help: None,
        }
    }

    /// Returns an error of one input.
    pub(super) fn input(name: &str, message: impl Into<String>) -> Self {
        Self {
            input: Some(name.to_owned()),
            ..Self::inputs(message)
        }
    }
}

/// Returns a dimension of this name.
pub(super) fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

/// Returns dimensions named `PREFIX0`, `PREFIX1`, ...
pub(super) fn symbols(prefix: &str, axes: std::ops::Range<usize>) -> Vec<Dim> {
    axes.map(|axis| symbol(&format!("{prefix}{axis}")))
        .collect()
}

/// Returns a port of a known type.
pub(super) fn port(name: &str, element: ElementType, dims: Vec<Dim>) -> OpPort {
    port_like(name, Some(TensorType::new(element, dims)))
}

/// Returns a port whose type may be unknown.
pub(super) fn port_like(name: &str, ty: Option<TensorType>) -> OpPort {
    OpPort {
        name: name.to_owned(),
        ty,
        optional: false,
    }
}

/// Returns a column of `rows` rows, with further dimensions of its own.
pub(super) fn column(argument: &ArgumentType<'_>, rows: &str) -> OpPort {
    let ty = argument.ty.map(|(element, rank)| {
        let mut dims = vec![symbol(rows)];
        dims.extend(symbols(&format!("{}_", argument.name), 1..rank));
        TensorType::new(element, dims)
    });
    port_like(argument.name, ty)
}

/// Returns the ports `index: i32[DIM]` and `score: float[DIM]`.
pub(super) fn index_and_score(dim: &str) -> Vec<OpPort> {
    vec![
        port("index", ElementType::I32, vec![symbol(dim)]),
        port("score", ElementType::F32, vec![symbol(dim)]),
    ]
}

/// Returns the ports `query: float[D]` and `keys: float[N,D]`.
pub(super) fn query_and_keys() -> Vec<OpPort> {
    vec![
        port("query", ElementType::F32, vec![symbol("D")]),
        port("keys", ElementType::F32, vec![symbol("N"), symbol("D")]),
    ]
}

/// Returns a parameter that is one of these strings, by default the first.
pub(super) fn words(name: &str, words: &[&str]) -> Parameter {
    Parameter::word(name, words.first().copied(), words.iter().copied())
}

/// Returns a numeric parameter, with an optional default and range.
pub(super) fn float(name: &str, default: Option<f64>, range: Option<(i64, i64)>) -> Parameter {
    Parameter {
        default: default.map(Into::into),
        min: range.map(|(min, _)| min),
        max: range.map(|(_, max)| max),
        ..Parameter::new(name, ElementType::F32)
    }
}

/// Returns a string parameter, with an optional default.
pub(super) fn text(name: &str, default: Option<&str>) -> Parameter {
    Parameter {
        default: default.map(Into::into),
        ..Parameter::new(name, ElementType::String)
    }
}

/// Returns the required parameter `k`.
pub(super) fn k() -> Parameter {
    Parameter {
        default: None,
        ..Parameter::int("k", 1, 1, K_MAX)
    }
}
