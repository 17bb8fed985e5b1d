//! The ports of an op. Ops are generic (columns of any type, any number of columns), so their
//! ports depend on the arguments of a node: [`Op::signature`] reads the types of these and returns
//! ports with symbols, to which the check then holds the arguments as it does with a model's.
//!
//! [`Op::signature`]: super::Op::signature

use motet_proto::signature::Parameter;
use motet_proto::types::{Dim, ElementType, TensorType};

use crate::scalar::Scalar;

/// The most that a parameter takes that says how many results an op gives (`k`, `top`).
pub const K_MAX: i64 = 65_536;

/// An argument of a node, as far as the check knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentType<'a> {
    /// The name of the input that it is for.
    pub name: &'a str,
    /// Element type and number of dimensions; `None` where they are unknown because of a mistake
    /// elsewhere.
    pub ty: Option<(ElementType, usize)>,
    /// `true` for a value that is written in the file. Its type is only the one that it has by
    /// itself: `2` can be any number.
    pub literal: bool,
}

/// The arguments and settings of a node, in the file's order.
#[derive(Debug, Clone, Default)]
pub struct Arguments<'a> {
    /// The arguments under `in`.
    pub inputs: Vec<ArgumentType<'a>>,
    /// The settings under `with`: the value where a single one is written, `None` for a reference.
    pub settings: Vec<(&'a str, Option<&'a Scalar>)>,
}

impl<'a> Arguments<'a> {
    /// `true` if there is an argument of this name.
    pub fn has(&self, name: &str) -> bool {
        self.inputs.iter().any(|a| a.name == name)
    }

    /// Element type and number of dimensions of the argument of this name, where known.
    pub fn type_of(&self, name: &str) -> Option<(ElementType, usize)> {
        self.inputs.iter().find(|a| a.name == name)?.ty
    }

    /// `true` if there is a setting of this name.
    pub fn has_setting(&self, name: &str) -> bool {
        self.settings.iter().any(|(n, _)| *n == name)
    }

    /// The setting of this name, where it is written as a single text.
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
    /// The type; `None` where it follows from an argument whose type is unknown.
    pub ty: Option<TensorType>,
    /// `true` if the value may be absent.
    pub optional: bool,
}

/// Inputs, outputs and parameters of an op for one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// The form that the arguments chose, as an index of [`OpDocs::forms`].
    ///
    /// [`OpDocs::forms`]: super::docs::OpDocs::forms
    pub form: usize,
    /// Inputs, in the order in which the op receives them.
    pub inputs: Vec<OpPort>,
    /// Outputs, in the order in which the op returns them.
    pub outputs: Vec<OpPort>,
    /// Parameters, in the order in which the op receives their values. One without a default is
    /// required.
    pub parameters: Vec<Parameter>,
}

/// Why the arguments choose no form of the op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormError {
    /// What is wrong.
    pub message: String,
    /// The input that is at fault; `None` where they all are.
    pub input: Option<String>,
    /// What to do about it.
    pub help: Option<&'static str>,
}

impl FormError {
    /// The inputs as a whole are wrong.
    pub(super) fn inputs(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            input: None,
            help: None,
        }
    }

    /// One input is wrong.
    pub(super) fn input(name: &str, message: impl Into<String>) -> Self {
        Self {
            input: Some(name.to_owned()),
            ..Self::inputs(message)
        }
    }
}

/// A dimension of this name.
pub(super) fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

/// Dimensions of the names `PREFIX0`, `PREFIX1`, ...
pub(super) fn symbols(prefix: &str, axes: std::ops::Range<usize>) -> Vec<Dim> {
    axes.map(|axis| symbol(&format!("{prefix}{axis}")))
        .collect()
}

/// A port of a known type.
pub(super) fn port(name: &str, element: ElementType, dims: Vec<Dim>) -> OpPort {
    port_like(name, Some(TensorType::new(element, dims)))
}

/// A port whose type may be unknown.
pub(super) fn port_like(name: &str, ty: Option<TensorType>) -> OpPort {
    OpPort {
        name: name.to_owned(),
        ty,
        optional: false,
    }
}

/// A column of `rows` rows, whose other dimensions are its own.
pub(super) fn column(argument: &ArgumentType<'_>, rows: &str) -> OpPort {
    let ty = argument.ty.map(|(element, rank)| {
        let mut dims = vec![symbol(rows)];
        dims.extend(symbols(&format!("{}_", argument.name), 1..rank));
        TensorType::new(element, dims)
    });
    port_like(argument.name, ty)
}

/// `index: i32[DIM]` and `score: float[DIM]`.
pub(super) fn index_and_score(dim: &str) -> Vec<OpPort> {
    vec![
        port("index", ElementType::I32, vec![symbol(dim)]),
        port("score", ElementType::F32, vec![symbol(dim)]),
    ]
}

/// `query: float[D]` and `keys: float[N,D]`.
pub(super) fn query_and_keys() -> Vec<OpPort> {
    vec![
        port("query", ElementType::F32, vec![symbol("D")]),
        port("keys", ElementType::F32, vec![symbol("N"), symbol("D")]),
    ]
}

/// A parameter of one of a few words; the first is the default.
pub(super) fn words(name: &str, words: &[&str]) -> Parameter {
    Parameter {
        default: words.first().map(|w| (*w).into()),
        one_of: words.iter().map(|w| (*w).to_owned()).collect(),
        ..parameter(name, ElementType::String)
    }
}

/// A parameter that is a number, with its default and range where it has them.
pub(super) fn float(name: &str, default: Option<f64>, range: Option<(i64, i64)>) -> Parameter {
    Parameter {
        default: default.map(Into::into),
        min: range.map(|(min, _)| min),
        max: range.map(|(_, max)| max),
        ..parameter(name, ElementType::F32)
    }
}

/// A parameter that is a text, with its default where it has one.
pub(super) fn text(name: &str, default: Option<&str>) -> Parameter {
    Parameter {
        default: default.map(Into::into),
        ..parameter(name, ElementType::String)
    }
}

/// The required parameter `k`.
pub(super) fn k() -> Parameter {
    Parameter {
        default: None,
        ..Parameter::int("k", 1, 1, K_MAX)
    }
}

fn parameter(name: &str, element: ElementType) -> Parameter {
    Parameter {
        name: name.to_owned(),
        ty: TensorType::scalar(element),
        default: None,
        min: None,
        max: None,
        one_of: Vec::new(),
    }
}
