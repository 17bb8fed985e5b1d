//! Ops on scores, vectors and ranked lists.

use motet_proto::signature::Parameter;
use motet_proto::types::{Dim, ElementType, TensorType};

use super::{float, port, scored, symbol, words};
use crate::ops::signature::{FormError, Given, OpPort, OpSignature};
use crate::ops::{K_MAX, OpKind, numbers};

pub(in crate::ops) fn topk(given: &[Given<'_>]) -> OpSignature {
    const NEAREST: [&str; 2] = ["query", "keys"];
    let has = |name: &str| given.iter().any(|g| g.name == name);
    // With nothing named right, more than one argument is a search: its mistakes are then reported as such.
    let by_score = has("score") && !NEAREST.into_iter().any(has)
        || !NEAREST.into_iter().any(has) && given.len() == 1;
    let outputs = vec![
        port("index", ElementType::I32, vec![symbol("K")]),
        port("score", ElementType::F32, vec![symbol("K")]),
    ];
    let k = Parameter {
        default: None,
        ..Parameter::int("k", 1, 1, K_MAX)
    };
    if by_score {
        return OpSignature {
            kind: OpKind::TopKScore,
            inputs: vec![port("score", ElementType::F32, vec![symbol("N")])],
            outputs,
            parameters: vec![k],
        };
    }
    OpSignature {
        kind: OpKind::TopKNearest,
        inputs: vec![
            port("query", ElementType::F32, vec![symbol("D")]),
            port("keys", ElementType::F32, vec![symbol("N"), symbol("D")]),
        ],
        outputs,
        parameters: vec![k, words("metric", &["cosine", "dot"])],
    }
}

pub(in crate::ops) fn mmr() -> OpSignature {
    OpSignature {
        kind: OpKind::Mmr,
        inputs: vec![
            port("query", ElementType::F32, vec![symbol("D")]),
            port("keys", ElementType::F32, vec![symbol("N"), symbol("D")]),
        ],
        outputs: scored("K"),
        parameters: vec![
            Parameter {
                default: None,
                ..Parameter::int("k", 1, 1, K_MAX)
            },
            float("lambda", Some(0.5), Some((0, 1))),
        ],
    }
}

pub(in crate::ops) fn rrf(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
    if given.is_empty() {
        return Err(FormError::NoInput("rrf"));
    }
    let lists = given.iter().enumerate();
    Ok(OpSignature {
        kind: OpKind::Rrf,
        inputs: lists
            .map(|(i, g)| {
                port(
                    g.name,
                    ElementType::I32,
                    vec![symbol(&format!("K{}", i + 1))],
                )
            })
            .collect(),
        outputs: scored("K"),
        parameters: vec![
            Parameter::int("k", 60, 1, 1_000_000),
            Parameter::int("top", K_MAX, 1, K_MAX),
        ],
    })
}

pub(in crate::ops) fn threshold() -> OpSignature {
    OpSignature {
        kind: OpKind::Threshold,
        inputs: vec![port("score", ElementType::F32, vec![symbol("N")])],
        outputs: scored("K"),
        parameters: vec![float("min", None, None)],
    }
}

pub(in crate::ops) fn argmax(given: &[Given<'_>]) -> OpSignature {
    let of = |name: &str| given.iter().find(|g| g.name == name).and_then(|g| g.ty);
    let outer = match of("score") {
        Some((_, 1)) => Vec::new(),
        _ => vec![symbol("N")],
    };
    let with_last = |last: &str| outer.iter().cloned().chain([symbol(last)]).collect();
    let mut inputs = vec![port("score", ElementType::F32, with_last("L"))];
    let mut outputs = vec![
        port("index", ElementType::I32, outer.clone()),
        port("score", ElementType::F32, outer.clone()),
    ];
    if given.iter().any(|g| g.name == "labels") {
        let labels = |name: &str, dims: Vec<Dim>| OpPort {
            name: name.to_owned(),
            ty: of("labels").map(|(element, _)| TensorType::new(element, dims)),
            optional: false,
        };
        inputs.push(labels("labels", vec![symbol("L")]));
        outputs.push(labels("label", outer));
    }
    OpSignature {
        kind: OpKind::ArgMax,
        inputs,
        outputs,
        parameters: Vec::new(),
    }
}

pub(in crate::ops) fn normalize(given: &[Given<'_>]) -> OpSignature {
    let rank = given
        .first()
        .and_then(|g| g.ty)
        .map_or(1, |(_, rank)| rank.max(1));
    let dims = || (0..rank).map(|axis| symbol(&format!("D{axis}"))).collect();
    OpSignature {
        kind: OpKind::Normalize,
        inputs: vec![port("vector", ElementType::F32, dims())],
        outputs: vec![port("out", ElementType::F32, dims())],
        parameters: vec![words("method", &numbers::Method::NAMES)],
    }
}
