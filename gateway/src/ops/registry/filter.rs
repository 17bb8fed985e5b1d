//! `filter`: the rows of columns that meet a condition.

use motet_proto::tensor::Tensor;
use motet_proto::types::{ElementType, TensorType};

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{OpError, OpErrorKind};
use crate::ops::op::{CompileContext, Op, OpCall, Outputs, outputs};
use crate::ops::ports::{
    ArgumentType, Arguments, FormError, OpPort, Signature, column, port, port_like, symbol, text,
};
use crate::ops::row_condition::RowCondition;
use crate::ops::scoring::index_list;
use crate::ops::work;

pub(super) struct Filter;
pub(super) const OP: Filter = Filter;

/// The index of the form by booleans; the other is by a condition.
const BY_KEEP: usize = 0;
const KEEP: &str = "keep";
/// The parameter with the condition. Compiled, its names are the indices of the inputs.
const WHERE: &str = "where";
const INDEX: &str = "index";

static DOCS: OpDocs = OpDocs {
    name: "filter",
    aliases: &[],
    summary: "Keeps the rows of columns that meet a condition.",
    forms: &[
        Form {
            inputs: "keep: bool[N], any names: T[N,...]",
            outputs: "index: i32[K], the same names: T[K,...]",
            about: "The rows for which `keep` is true, in their order. `index` is which rows they \
                    are, for `gather` of further columns.",
            example: &[("keep", "bool[N]"), ("text", "string[N]")],
            settings: &[],
        },
        Form {
            inputs: "any names: T[N,...], or single values",
            outputs: "index: i32[K], the names of the lists: T[K,...]",
            about: "The rows for which the condition holds. It is written like `when` of a node, \
                    over the names of the inputs; single values among them are the same for every \
                    row. A comparison with NaN does not hold, except `!=`.",
            example: &[
                ("score", "float[N]"),
                ("text", "string[N]"),
                ("least", "float"),
            ],
            settings: &[(WHERE, "\"score >= least and text != ''\"")],
        },
    ],
};

impl Op for Filter {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let by_condition = arguments.has_setting(WHERE);
        if !by_condition && !arguments.has(KEEP) {
            let message = "`filter` needs a condition: `where` under `with`, or the input `keep`";
            return Err(FormError::inputs(message));
        }
        let is_list = |a: &&ArgumentType<'_>| a.ty.is_none_or(|(_, rank)| rank > 0);
        let is_column = |a: &&ArgumentType<'_>| is_list(a) && (by_condition || a.name != KEEP);
        let columns = || arguments.inputs.iter().filter(is_column);
        if columns().any(|a| a.name == INDEX) {
            let message = "`index` is what `filter` calls the indices of the rows that it keeps";
            return Err(FormError {
                help: Some("give the column another name"),
                ..FormError::input(INDEX, message)
            });
        }
        if by_condition && columns().next().is_none() {
            return Err(FormError::inputs("`filter` needs at least one list"));
        }
        let index = port(INDEX, ElementType::I32, vec![symbol("K")]);
        let kept = columns().map(|a| column(a, "K"));
        let outputs = std::iter::once(index).chain(kept).collect();
        Ok(if by_condition {
            Signature {
                form: BY_KEEP + 1,
                inputs: arguments.inputs.iter().map(column_or_single).collect(),
                outputs,
                parameters: vec![text(WHERE, None)],
            }
        } else {
            let keep = port(KEEP, ElementType::Bool, vec![symbol("N")]);
            let others = arguments.inputs.iter().filter(|a| a.name != KEEP);
            Signature {
                form: BY_KEEP,
                inputs: std::iter::once(keep)
                    .chain(others.map(|a| column(a, "N")))
                    .collect(),
                outputs,
                parameters: Vec::new(),
            }
        })
    }

    fn compiled_parameter(&self) -> Option<(&'static str, &'static str)> {
        let why = "its names are checked when the pipeline is loaded; a value of a request can be \
                   an input that it compares with";
        Some((WHERE, why))
    }

    fn compile(&self, text: &str, context: &mut CompileContext<'_, '_>) -> Option<String> {
        match RowCondition::check(text, context.span, context.arguments) {
            Ok(condition) => Some(condition.to_string()),
            Err(diagnostic) => {
                (context.report)(*diagnostic);
                None
            }
        }
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        let lists = call.inputs.iter().flatten();
        let rows = lists
            .filter(|t| !t.shape().is_empty())
            .map(Tensor::rows)
            .max();
        let condition = call.text(0).map_or(Ok(1), |text| {
            RowCondition::parse(text).map(|condition| condition.operations())
        });
        let rows = (rows.unwrap_or(0) as u64).saturating_mul(condition.unwrap_or(1));
        rows.saturating_add(work::elements(call.bytes()))
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let inputs = call.all()?;
        let (rows, columns) = if call.form == BY_KEEP {
            let [keep, columns @ ..] = inputs.as_slice() else {
                return Err(OpErrorKind::Argument.into());
            };
            let keep = keep.to_bools()?.into_iter().enumerate();
            let rows: Vec<usize> = keep.filter_map(|(i, keep)| keep.then_some(i)).collect();
            (rows, columns.to_vec())
        } else {
            let is_list = |tensor: &&&Tensor| !tensor.shape().is_empty();
            let columns: Vec<&Tensor> = inputs.iter().filter(is_list).copied().collect();
            let count = columns.first().map_or(0, |column| column.rows());
            let condition = RowCondition::parse(call.text(0)?)?;
            (
                condition.rows(&inputs, count, &mut cancel.meter())?,
                columns,
            )
        };
        let kept = columns
            .iter()
            .map(|column| Ok(column.gather(&rows)?))
            .collect::<Result<Vec<_>, OpError>>()?;
        outputs(std::iter::once(index_list(&rows)?).chain(kept))
    }
}

/// Returns a column, or a single value of any type.
fn column_or_single(argument: &ArgumentType<'_>) -> OpPort {
    match argument.ty {
        Some((element, 0)) => port_like(argument.name, Some(TensorType::scalar(element))),
        _ => column(argument, "N"),
    }
}

#[cfg(test)]
mod tests {
    use motet_config::Span;

    use super::*;
    use crate::ops::testing::{floats, ints, run, text as word};

    #[test]
    fn rows_are_kept_by_booleans() {
        let text = Tensor::strings(["a", "b", "c"]);
        let vectors = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        for (keep, index, kept) in [
            ([true, false, true], &[0, 2][..], &["a", "c"][..]),
            ([false; 3], &[], &[]),
        ] {
            let inputs = [Tensor::bools(&keep), text.clone(), vectors.clone()];
            let out = run(&OP, BY_KEEP, &inputs, &[]).unwrap();
            assert_eq!(ints(&out[0]), index);
            assert_eq!(out[1], Tensor::strings(kept));
            assert_eq!(out[2].shape(), [kept.len(), 2]);
        }
        let none = [Tensor::bools(&[]), Tensor::strings::<&str>([])];
        let out = run(&OP, BY_KEEP, &none, &[]).unwrap();
        assert_eq!((out[0].len(), out[1].len()), (0, 0));
    }

    /// Returns the columns of the tests, with their types.
    fn table() -> ([Tensor; 6], [(&'static str, ElementType, usize); 6]) {
        let tensors = [
            floats(&[4], &[0.7, f32::NAN, 0.2, 0.9]),
            Tensor::strings(["de", "en", "de", ""]),
            Tensor::bools(&[true, false, false, true]),
            Tensor::from_values(vec![4], vec![u64::MAX, 1, 2, 3]).unwrap(),
            Tensor::scalar(0.5f32),
            floats(&[4, 1], &[0.0; 4]),
        ];
        let types = [
            ("score", ElementType::F32, 1),
            ("lang", ElementType::String, 1),
            ("ok", ElementType::Bool, 1),
            ("count", ElementType::U64, 1),
            ("least", ElementType::F32, 0),
            ("vector", ElementType::F32, 2),
        ];
        (tensors, types)
    }

    /// Returns a condition compiled over the table, or the report.
    fn compile(condition: &str) -> Result<String, String> {
        let (_, types) = table();
        let inputs = types.map(|(name, element, rank)| ArgumentType {
            name,
            ty: Some((element, rank)),
            literal: false,
        });
        let arguments = Arguments {
            inputs: inputs.to_vec(),
            settings: Vec::new(),
        };
        RowCondition::check(condition, Span::default(), &arguments)
            .map(|condition| condition.to_string())
            .map_err(|diagnostic| diagnostic.message)
    }

    #[test]
    fn rows_are_kept_by_a_condition() {
        let (tensors, _) = table();
        for (condition, index) in [
            // A decimal that is compared with a float is rounded to it.
            ("score >= 0.7", &[0, 3][..]),
            ("score == 0.7", &[0]),
            ("score > 0.7", &[3]),
            ("0.7 <= score", &[0, 3]),
            // NaN is unequal to all values, and in no other relation.
            ("score != 0.7", &[1, 2, 3]),
            ("not score < 0.5", &[0, 1, 3]),
            ("score > least", &[0, 3]),
            ("least < 0.6", &[0, 1, 2, 3]),
            ("lang == 'de'", &[0, 2]),
            ("lang < \"e\" and lang != ''", &[0, 2]),
            ("ok", &[0, 3]),
            ("not ok", &[1, 2]),
            ("ok == false or lang == 'de'", &[0, 1, 2]),
            ("(ok or score < 0.5) and not (lang == 'de' and ok)", &[2, 3]),
            ("count > 9223372036854775807", &[0]),
            ("count >= 1.5", &[0, 2, 3]),
            ("not not not ok", &[1, 2]),
            ("true", &[0, 1, 2, 3]),
            ("1 > 2", &[]),
        ] {
            let compiled = compile(condition).unwrap();
            let out = run(&OP, BY_KEEP + 1, &tensors, &[word(&compiled)]).unwrap();
            assert_eq!(ints(&out[0]), index, "{condition}: {compiled}");
            // A scalar is not a column.
            assert_eq!(out.len(), 6);
            assert_eq!(out[5].shape(), [index.len(), 1]);
        }
        let none = [
            floats(&[0], &[]),
            Tensor::strings::<&str>([]),
            Tensor::scalar(0.5f32),
        ];
        let out = run(&OP, BY_KEEP + 1, &none, &[word("$0 > $2")]).unwrap();
        assert_eq!(out[0].len(), 0);
    }

    #[test]
    fn a_compiled_condition_parses_as_itself() {
        let deep = format!("{}ok{}", "(".repeat(60), ")".repeat(60));
        let negated = format!("{}ok", "not ".repeat(60));
        for condition in [
            "score >= -1.5e10 and lang != \"it's\" or not (ok or score < 1) and lang == 'a\"b'",
            "ok and (ok and (ok or ok)) or (ok or ok)",
            &deep,
            &negated,
        ] {
            let compiled = compile(condition).unwrap();
            let parsed = RowCondition::parse(&compiled).unwrap();
            assert_eq!(parsed.to_string(), compiled, "{condition}");
        }
    }

    #[test]
    fn a_wrong_condition_is_reported() {
        for (condition, report) in [
            ("scor > 1", "`in` has no value `scor` to compare"),
            ("score.x > 1", "`in` has no value `score.x` to compare"),
            ("score > 'a'", "a number cannot be compared with a string"),
            ("ok > true", "booleans are compared by `==` and `!=`"),
            (
                "score",
                "a condition is a comparison or a boolean, not a number",
            ),
            ("vector > 1", "a row of `vector` is not a single value"),
            ("lang == null", "no row of a list is `null`"),
            (
                "length(lang) > 1",
                "a row has no length: compare with the output of `op: length`",
            ),
            (
                "(score > 1) == ok",
                "a comparison is between values, not between conditions",
            ),
            ("score >", "the condition ends where a value should be"),
        ] {
            assert_eq!(compile(condition), Err(report.to_owned()), "{condition}");
        }
    }
}
