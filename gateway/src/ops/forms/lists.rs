//! Ops on values of any type.

use motet_proto::signature::Parameter;
use motet_proto::types::{ElementType, TensorType};

use super::{port, symbol, words};
use crate::ops::OpKind;
use crate::ops::signature::{FormError, Given, OpPort, OpSignature};

pub(in crate::ops) fn gather(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
    let columns: Vec<&Given<'_>> = given.iter().filter(|g| g.name != "index").collect();
    if columns.is_empty() {
        return Err(FormError::NoColumn("gather"));
    }
    let side = |leading: &'static str| {
        columns.iter().map(move |column| OpPort {
            name: column.name.to_owned(),
            ty: column.ty.map(|(element, rank)| {
                let own = (1..rank).map(|axis| symbol(&format!("{}_{axis}", column.name)));
                TensorType::new(
                    element,
                    std::iter::once(symbol(leading)).chain(own).collect(),
                )
            }),
            optional: false,
        })
    };
    Ok(OpSignature {
        kind: OpKind::Gather,
        inputs: side("N")
            .chain([port("index", ElementType::I32, vec![symbol("K")])])
            .collect(),
        outputs: side("K").collect(),
        parameters: Vec::new(),
    })
}

pub(in crate::ops) fn concat(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
    if given.is_empty() {
        return Err(FormError::NoInput("concat"));
    }
    let known: Vec<(&str, ElementType, usize)> = given
        .iter()
        .filter_map(|g| g.ty.map(|(element, rank)| (g.name, element, rank)))
        .collect();
    let scalar = known.iter().find(|(_, _, rank)| *rank == 0);
    let list = known.iter().find(|(_, _, rank)| *rank > 0);
    match (scalar, list) {
        (Some((scalar, ..)), Some(_)) => Err(FormError::ConcatMixed {
            scalar: (*scalar).to_owned(),
        }),
        (Some((_, ElementType::String, _)), None) => Ok(OpSignature {
            kind: OpKind::ConcatStrings,
            inputs: given
                .iter()
                .map(|g| port(g.name, ElementType::String, Vec::new()))
                .collect(),
            outputs: vec![port("out", ElementType::String, Vec::new())],
            parameters: vec![Parameter {
                name: "separator".to_owned(),
                ty: TensorType::scalar(ElementType::String),
                default: Some("".into()),
                min: None,
                max: None,
                one_of: Vec::new(),
            }],
        }),
        (Some((name, element, _)), None) => Err(FormError::ConcatScalar {
            name: (*name).to_owned(),
            element: *element,
        }),
        // The first list says what the others must be like.
        (None, list) => {
            let (element, rank) = list.map_or((None, 1), |(_, e, rank)| (Some(*e), *rank));
            let ty = |leading: String| {
                element.map(|element| {
                    let rest = (1..rank).map(|axis| symbol(&format!("D{axis}")));
                    TensorType::new(
                        element,
                        std::iter::once(symbol(&leading)).chain(rest).collect(),
                    )
                })
            };
            let inputs = given.iter().enumerate().map(|(i, g)| OpPort {
                name: g.name.to_owned(),
                ty: ty(format!("N{}", i + 1)),
                optional: false,
            });
            Ok(OpSignature {
                kind: OpKind::ConcatLists,
                inputs: inputs.collect(),
                outputs: vec![OpPort {
                    name: "out".to_owned(),
                    ty: ty("N".to_owned()),
                    optional: false,
                }],
                parameters: Vec::new(),
            })
        }
    }
}

pub(in crate::ops) fn select(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
    if given.is_empty() {
        return Err(FormError::NoInput("select"));
    }
    let ports = || {
        given.iter().map(|g| OpPort {
            name: g.name.to_owned(),
            ty: g.ty.map(|(element, rank)| {
                let dims = (0..rank).map(|axis| symbol(&format!("{}_{axis}", g.name)));
                TensorType::new(element, dims.collect())
            }),
            optional: false,
        })
    };
    Ok(OpSignature {
        kind: OpKind::Select,
        inputs: ports().collect(),
        outputs: ports().collect(),
        parameters: Vec::new(),
    })
}

/// The value says what the default must be like; where the value's type is not known, the default
/// does.
pub(in crate::ops) fn default(given: &[Given<'_>]) -> OpSignature {
    let of = |name: &str| given.iter().find(|g| g.name == name).and_then(|g| g.ty);
    let ty = of("value")
        .or_else(|| of("default"))
        .map(|(element, rank)| {
            let dims = (0..rank).map(|axis| symbol(&format!("D{axis}")));
            TensorType::new(element, dims.collect())
        });
    let port = |name: &str, optional| OpPort {
        name: name.to_owned(),
        ty: ty.clone(),
        optional,
    };
    OpSignature {
        kind: OpKind::Default,
        inputs: vec![port("value", true), port("default", false)],
        outputs: vec![port("out", false)],
        parameters: Vec::new(),
    }
}

/// Single values, and lists of one length.
pub(in crate::ops) fn template(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
    let is_list = given.iter().any(|g| g.ty.is_some_and(|(_, rank)| rank > 0));
    let inputs = given.iter().map(|g| OpPort {
        name: g.name.to_owned(),
        ty: g.ty.map(|(element, rank)| {
            let dims = (0..rank.min(1)).map(|_| symbol("N"));
            TensorType::new(element, dims.collect())
        }),
        optional: false,
    });
    let dims = if is_list {
        vec![symbol("N")]
    } else {
        Vec::new()
    };
    Ok(OpSignature {
        kind: OpKind::Template,
        inputs: inputs.collect(),
        outputs: vec![port("out", ElementType::String, dims)],
        parameters: vec![Parameter {
            name: "text".to_owned(),
            ty: TensorType::scalar(ElementType::String),
            default: None,
            min: None,
            max: None,
            one_of: Vec::new(),
        }],
    })
}

pub(in crate::ops) fn length(given: &[Given<'_>]) -> OpSignature {
    let ty = given.iter().find(|g| g.name == "of").and_then(|g| g.ty);
    OpSignature {
        kind: OpKind::Length,
        inputs: vec![OpPort {
            name: "of".to_owned(),
            ty: ty.map(|(element, rank)| {
                let dims = (0..rank.max(1)).map(|axis| symbol(&format!("D{axis}")));
                TensorType::new(element, dims.collect())
            }),
            optional: false,
        }],
        outputs: vec![port("out", ElementType::I64, Vec::new())],
        parameters: Vec::new(),
    }
}

pub(in crate::ops) fn cast(given: &[Given<'_>], to: Option<ElementType>) -> OpSignature {
    let ty = given.iter().find(|g| g.name == "value").and_then(|g| g.ty);
    let of = |name: &str, element: Option<ElementType>| OpPort {
        name: name.to_owned(),
        ty: ty.zip(element).map(|((_, rank), element)| {
            let dims = (0..rank).map(|axis| symbol(&format!("D{axis}")));
            TensorType::new(element, dims.collect())
        }),
        optional: false,
    };
    let names: Vec<&str> = ElementType::ALL.iter().map(|e| e.name()).collect();
    OpSignature {
        kind: OpKind::Cast,
        inputs: vec![of("value", ty.map(|(element, _)| element))],
        outputs: vec![of("out", to)],
        parameters: vec![Parameter {
            default: None,
            ..words("to", &names)
        }],
    }
}
