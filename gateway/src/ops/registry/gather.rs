//! `gather`: elements of columns by index.

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OpError, OpErrorKind, within_output_limit};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, column, port, symbol};
use crate::ops::work;

pub(super) struct Gather;
pub(super) const OP: Gather = Gather;

const INDEX: &str = "index";

static DOCS: OpDocs = OpDocs {
    name: "gather",
    aliases: &[],
    summary: "Picks elements of one or more columns by index.",
    forms: &[Form {
        inputs: "any names: T[N,...], index: i32[K]",
        outputs: "the same names: T[K,...]",
        about: "Every column has an element type of its own. All have the leading length N that \
                `index` counts in.",
        example: &[
            ("text", "string[N]"),
            ("embedding", "float[N,384]"),
            ("index", "i32[K]"),
        ],
        settings: &[],
    }],
};

impl Op for Gather {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let columns = || arguments.inputs.iter().filter(|a| a.name != INDEX);
        if columns().next().is_none() {
            let message = "`gather` needs at least one column beside `index`";
            return Err(FormError::inputs(message));
        }
        let mut inputs: Vec<_> = columns().map(|c| column(c, "N")).collect();
        inputs.push(port(INDEX, ElementType::I32, vec![symbol("K")]));
        Ok(Signature {
            form: 0,
            inputs,
            outputs: columns().map(|c| column(c, "K")).collect(),
            parameters: Vec::new(),
        })
    }

    fn inputs_of(&self, output: usize, inputs: usize) -> Vec<usize> {
        vec![output, inputs.saturating_sub(1)]
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        let bytes = call.bytes();
        let picks = call.len(call.inputs.len().saturating_sub(1));
        work::elements(bytes).saturating_add(work::copies(bytes, picks))
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        let all = call.all()?;
        let [columns @ .., index] = all.as_slice() else {
            return Err(OpErrorKind::Argument.into());
        };
        outputs(gather(columns, index)?)
    }
}

/// Returns the rows of each column that `index` names, in its order.
fn gather(columns: &[&Tensor], index: &Tensor) -> Result<Vec<Tensor>, OpError> {
    let index = index.values::<i32>()?;
    let picks = columns
        .iter()
        .enumerate()
        .map(|(column, tensor)| picks(&index, column, tensor.rows(), columns.len()))
        .collect::<Result<Vec<_>, _>>()?;
    let sizes = columns
        .iter()
        .zip(&picks)
        .map(|(column, picks)| gathered_bytes(column, picks))
        .collect::<Result<Vec<_>, _>>()?;
    within_output_limit(sizes.into_iter())?;
    columns
        .iter()
        .zip(&picks)
        .map(|(column, picks)| Ok(column.gather(picks)?))
        .collect()
}

/// Returns the row of a column of `rows` rows for each index. The list of indices is the input
/// after the columns.
fn picks(
    indices: &[i32],
    column: usize,
    rows: usize,
    columns: usize,
) -> Result<Vec<usize>, OpError> {
    let pick = |(at, &index): (usize, &i32)| {
        let row = usize::try_from(index).ok().filter(|row| *row < rows);
        row.ok_or_else(|| {
            let arguments = [ArgumentId::Input(columns), ArgumentId::Input(column)];
            OpErrorKind::Index { at, index, rows }.caused_by(arguments)
        })
    };
    indices.iter().enumerate().map(pick).collect()
}

/// Returns the bytes of the rows of a column that `picks` names.
fn gathered_bytes(column: &Tensor, picks: &[usize]) -> Result<usize, OpError> {
    if picks.is_empty() {
        return Ok(0);
    }
    let (bytes, rows) = (column.data().len(), column.rows());
    if column.element().size().is_some() {
        return Ok((bytes / rows).saturating_mul(picks.len()));
    }
    let width = column.len() / rows;
    let mut texts = column.as_strings()?.iter();
    let sizes: Vec<usize> = (0..rows)
        .map(|_| {
            let row = texts.by_ref().take(width);
            row.map(|text| text.len() + size_of::<u32>()).sum()
        })
        .collect();
    let sizes = picks.iter().map(|row| sizes[*row]);
    Ok(sizes.fold(0, usize::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{floats, int_list, run};

    #[test]
    fn the_size_of_a_result_is_known_before_it_is_made() {
        let short = Tensor::strings(["ab", ""]);
        assert_eq!(gathered_bytes(&short, &[0, 0, 1]), Ok(2 * (2 + 4) + 4));
        assert_eq!(gathered_bytes(&short, &[]), Ok(0));
        let numbers = Tensor::from_values(vec![2, 3], vec![0i32; 6]).unwrap();
        assert_eq!(gathered_bytes(&numbers, &[1, 1, 1]), Ok(3 * 3 * 4));
    }

    #[test]
    fn columns_are_gathered_together() {
        let columns = [
            Tensor::strings(["a", "b", "c"]),
            floats(&[3, 1], &[1.0, 2.0, 3.0]),
        ];
        let with = |index: &[i32]| [columns.as_slice(), &[int_list(index)]].concat();
        let out = run(&OP, 0, &with(&[2, 0]), &[]).unwrap();
        assert_eq!(out[0], Tensor::strings(["c", "a"]));
        assert_eq!(out[1], floats(&[2, 1], &[3.0, 1.0]));
        for index in [3, -1] {
            let kind = OpErrorKind::Index {
                at: 0,
                index,
                rows: 3,
            };
            assert_eq!(
                run(&OP, 0, &with(&[index]), &[]),
                Err(kind.caused_by([ArgumentId::Input(2), ArgumentId::Input(0)]))
            );
        }
    }

    #[test]
    fn a_result_over_the_limit_is_refused() {
        // 1 MiB gathered 2,000 times, as text and as numbers.
        let text = "x".repeat(1 << 20);
        for column in [
            Tensor::strings([text.as_str()]),
            floats(&[1, 1 << 18], &vec![0.0; 1 << 18]),
        ] {
            let out = run(&OP, 0, &[column, int_list(&[0; 2000])], &[]);
            assert_eq!(out, Err(OpErrorKind::OutputTooLarge.into()));
        }
    }
}
