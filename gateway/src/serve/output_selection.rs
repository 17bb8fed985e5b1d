//! Selection of outputs by a request.

use crate::check::CheckedPipeline;
use crate::exec::InputViolation;

/// Returns for each output column whether `names` has it (see [`positions`]).
///
/// # Errors
/// A violation for each name that is not an output.
pub(super) fn select<'n>(
    pipeline: &CheckedPipeline,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<bool>, Vec<InputViolation>> {
    let mut selected = vec![false; pipeline.values().count()];
    for position in positions(pipeline, names)? {
        selected[position] = true;
    }
    Ok(selected)
}

/// Returns the positions of the output columns with these `names`, in the order of the names. The
/// name of a list of records selects all its columns, `results.score` one of them.
///
/// # Errors
/// A violation for each name that is not an output.
pub(super) fn positions<'n>(
    pipeline: &CheckedPipeline,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<usize>, Vec<InputViolation>> {
    let columns: Vec<String> = pipeline.columns().map(|(name, _)| name).collect();
    let mut positions = Vec::new();
    let mut violations = Vec::new();
    for name in names {
        let before = positions.len();
        let of_output = |column: &String| {
            column
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        positions.extend((0..columns.len()).filter(|at| of_output(&columns[*at])));
        if positions.len() == before {
            let why = format!("is not an output: the outputs are {}", columns.join(", "));
            violations.push(InputViolation::invalid(name, why));
        }
    }
    if violations.is_empty() {
        Ok(positions)
    } else {
        Err(violations)
    }
}
