//! The ports of an op. Ops are generic (a column of any type, any number of columns), so the
//! ports depend on the arguments: [`resolve`] looks at them and gives plain ports with symbols,
//! to which the check then holds the arguments as it does with a model's.

use motet_proto::signature::Parameter;
use motet_proto::types::{ElementType, TensorType};

use super::OpKind;
use super::forms::{
    argmax, cast, concat, default, gather, length, mmr, normalize, rrf, select, template,
    threshold, topk,
};

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

/// The ports of `op` for these arguments; `to` is the element type that the setting of this name
/// asks for, if one does.
///
/// # Errors
/// There is no such op, or the arguments fit none of its forms so badly that its ports cannot
/// be told.
pub fn resolve(
    op: &str,
    given: &[Given<'_>],
    to: Option<ElementType>,
) -> Result<OpSignature, FormError> {
    match op {
        "topk" => Ok(topk(given)),
        "gather" => gather(given),
        "concat" => concat(given),
        "select" | "project" | "identity" => select(given),
        "template" => template(given),
        "normalize" => Ok(normalize(given)),
        "threshold" => Ok(threshold()),
        "argmax" => Ok(argmax(given)),
        "mmr" => Ok(mmr()),
        "rrf" => rrf(given),
        "length" => Ok(length(given)),
        "cast" => Ok(cast(given, to)),
        "default" => Ok(default(given)),
        _ => Err(FormError::Unknown(op.to_owned())),
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
        match resolve(op, &given, None) {
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
            ("length", &[("of", "u8[N,3]")], "of: u8[D0,D1] -> out: int"),
            (
                "argmax",
                &[("score", "float[4]"), ("labels", "string[4]")],
                "score: float[L], labels: string[L] -> index: i32, score: float, label: string",
            ),
            (
                "template",
                &[("a", "int"), ("b", "string[N]")],
                "a: int, b: string[N] -> out: string[N]",
            ),
            ("sort", &[], "no op is named `sort`"),
        ] {
            assert_eq!(show(op, given), expected, "{op} {given:?}");
        }
    }

    #[test]
    fn the_table_has_every_op() {
        for doc in super::super::OPS {
            assert!(
                !matches!(resolve(doc.name, &[], None), Err(FormError::Unknown(_))),
                "{}",
                doc.name
            );
        }
    }
}
