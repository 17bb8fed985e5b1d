//! The ports of an op. Ops are generic (a column of any type, any number of columns), so the
//! ports depend on the arguments: [`resolve`] looks at them and gives plain ports with symbols,
//! to which the check then holds the arguments as it does with a model's.

use motet_proto::signature::Parameter;
use motet_proto::types::{Dim, ElementType, TensorType};

use super::{K_MAX, OpKind};

/// An argument that a node gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<'a> {
    /// The name.
    pub name: &'a str,
    /// Element type and number of dimensions; `None` where they are not known because of a
    /// mistake elsewhere.
    pub ty: Option<(ElementType, usize)>,
}

/// A port of an op.
#[derive(Debug, Clone, PartialEq)]
pub struct OpPort {
    /// The name.
    pub name: String,
    /// The type; `None` where it follows from an argument whose type is not known.
    pub ty: Option<TensorType>,
    /// Whether the value may be absent.
    pub optional: bool,
}

/// What an op takes and gives, for one node.
#[derive(Debug, Clone, PartialEq)]
pub struct OpSignature {
    /// The form.
    pub kind: OpKind,
    /// Inputs, in the order that [`OpKind`] states.
    pub inputs: Vec<OpPort>,
    /// Outputs.
    pub outputs: Vec<OpPort>,
    /// Parameters; one without a default must be given.
    pub parameters: Vec<Parameter>,
}

/// Why the arguments choose no form of the op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// There is no such op.
    #[error("no op is named `{0}`")]
    Unknown(String),
    /// `concat` of lists and scalars.
    #[error("`concat` joins lists, or strings, but not both: `{scalar}` is no list")]
    ConcatMixed {
        /// An argument that is a scalar.
        scalar: String,
    },
    /// `concat` of scalars that are not strings.
    #[error("`concat` joins strings or lists, but `{name}` is a single {element}")]
    ConcatScalar {
        /// The argument.
        name: String,
        /// Its type.
        element: ElementType,
    },
    /// An op on named columns has none.
    #[error("`{0}` needs at least one column beside `index`")]
    NoColumn(&'static str),
    /// An op on named inputs has none.
    #[error("`{0}` needs at least one input")]
    NoInput(&'static str),
}

/// The ports of `op` for these arguments.
///
/// # Errors
/// There is no such op, or the arguments fit none of its forms so badly that its ports cannot
/// be told.
pub fn resolve(op: &str, given: &[Given<'_>]) -> Result<OpSignature, FormError> {
    match op {
        "topk" => Ok(topk(given)),
        "gather" => gather(given),
        "concat" => concat(given),
        "select" | "identity" => select(given),
        "default" => Ok(default(given)),
        _ => Err(FormError::Unknown(op.to_owned())),
    }
}

fn topk(given: &[Given<'_>]) -> OpSignature {
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

fn gather(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
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

fn concat(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
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

fn select(given: &[Given<'_>]) -> Result<OpSignature, FormError> {
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
fn default(given: &[Given<'_>]) -> OpSignature {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn show(op: &str, given: &[(&str, &str)]) -> String {
        let types: Vec<TensorType> = given.iter().map(|(_, ty)| ty.parse().unwrap()).collect();
        let given: Vec<Given<'_>> = given
            .iter()
            .zip(&types)
            .map(|((name, _), ty)| Given {
                name,
                ty: Some((ty.element, ty.rank())),
            })
            .collect();
        let list = |ports: &[OpPort]| {
            let texts: Vec<String> = ports
                .iter()
                .map(|p| format!("{}: {}", p.name, p.ty.as_ref().unwrap()))
                .collect();
            texts.join(", ")
        };
        match resolve(op, &given) {
            Ok(s) => format!("{} -> {}", list(&s.inputs), list(&s.outputs)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_choose_the_form() {
        for (op, given, expected) in [
            (
                "topk",
                &[("query", "float[4]"), ("keys", "float[N,4]")][..],
                "query: float[D], keys: float[N,D] -> index: i32[K], score: float[K]",
            ),
            (
                "topk",
                &[("score", "float[N]")],
                "score: float[N] -> index: i32[K], score: float[K]",
            ),
            (
                "topk",
                &[("socre", "float[N]")],
                "score: float[N] -> index: i32[K], score: float[K]",
            ),
            (
                "gather",
                &[("index", "i32[K]"), ("a", "string[N]"), ("b", "float[N,3]")],
                "a: string[N], b: float[N,b_1], index: i32[K] -> a: string[K], b: float[K,b_1]",
            ),
            (
                "gather",
                &[("index", "i32[K]")],
                "`gather` needs at least one column beside `index`",
            ),
            (
                "concat",
                &[("a", "float[N,3]"), ("b", "float[M,3]")],
                "a: float[N1,D1], b: float[N2,D1] -> out: float[N,D1]",
            ),
            (
                "concat",
                &[("a", "string"), ("b", "string")],
                "a: string, b: string -> out: string",
            ),
            (
                "concat",
                &[("a", "string"), ("b", "string[N]")],
                "`concat` joins lists, or strings, but not both: `a` is no list",
            ),
            (
                "concat",
                &[("a", "int")],
                "`concat` joins strings or lists, but `a` is a single int",
            ),
            ("concat", &[], "`concat` needs at least one input"),
            (
                "select",
                &[("a", "int"), ("b", "u8[3,4]")],
                "a: int, b: u8[b_0,b_1] -> a: int, b: u8[b_0,b_1]",
            ),
            ("select", &[], "`select` needs at least one input"),
            ("sort", &[], "no op is named `sort`"),
        ] {
            assert_eq!(show(op, given), expected, "{op} {given:?}");
        }
    }

    #[test]
    fn the_table_has_every_op() {
        for doc in super::super::OPS {
            assert!(
                !matches!(resolve(doc.name, &[]), Err(FormError::Unknown(_))),
                "{}",
                doc.name
            );
        }
    }
}
