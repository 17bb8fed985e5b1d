//! The ports of each op, as its arguments choose them.

mod lists;
mod scores;

use motet_proto::signature::Parameter;
use motet_proto::types::{Dim, ElementType, TensorType};

pub(super) use lists::{cast, concat, default, gather, length, select, template};
pub(super) use scores::{argmax, mmr, normalize, rrf, threshold, topk};

use super::signature::OpPort;

fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

fn port(name: &str, element: ElementType, dims: Vec<Dim>) -> OpPort {
    OpPort {
        name: name.to_owned(),
        ty: Some(TensorType::new(element, dims)),
        optional: false,
    }
}

/// A parameter that is one of a few words; the first is the default.
fn words(name: &str, words: &[&str]) -> Parameter {
    Parameter {
        name: name.to_owned(),
        ty: TensorType::scalar(ElementType::String),
        default: words.first().map(|w| (*w).into()),
        min: None,
        max: None,
        one_of: words.iter().map(|w| (*w).to_owned()).collect(),
    }
}

/// A number, with its range where it has one.
fn float(name: &str, default: Option<f64>, range: Option<(i64, i64)>) -> Parameter {
    Parameter {
        name: name.to_owned(),
        ty: TensorType::scalar(ElementType::F32),
        default: default.map(Into::into),
        min: range.map(|(min, _)| min),
        max: range.map(|(_, max)| max),
        one_of: Vec::new(),
    }
}

fn scored(dim: &str) -> Vec<OpPort> {
    vec![
        port("index", ElementType::I32, vec![symbol(dim)]),
        port("score", ElementType::F32, vec![symbol(dim)]),
    ]
}
