//! The outputs that a request asks for.

use crate::check::CheckedPipeline;
use crate::exec::InputViolation;

/// For each column of the outputs, `true` if it is among `names` (see [`positions`]).
///
/// # Errors
/// Every name that is no output.
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

/// The positions of the columns that `names` mean, in the order of the names: an output stands for
/// all its columns, `results.score` for one of them.
///
/// # Errors
/// Every name that is no output.
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
