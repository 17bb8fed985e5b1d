//! Which outputs a request asks for.

use crate::check::CheckedPipeline;
use crate::exec::Mistake;

/// Whether each column of the outputs is among `names`: an output (with all its columns), or one
/// column such as `results.score`.
///
/// # Errors
/// Every name that is none of them.
pub(super) fn wanted<'n>(
    pipeline: &CheckedPipeline,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<bool>, Vec<Mistake>> {
    let columns: Vec<String> = pipeline.columns().map(|(name, _)| name).collect();
    let mut wanted = vec![false; columns.len()];
    let mut mistakes = Vec::new();
    for name in names {
        let mut found = false;
        for (column, wanted) in columns.iter().zip(&mut wanted) {
            let of_output = column
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            *wanted |= of_output;
            found |= of_output;
        }
        if !found {
            let why = format!("is not an output: the outputs are {}", columns.join(", "));
            mistakes.push(Mistake::wrong(name, why));
        }
    }
    if mistakes.is_empty() {
        Ok(wanted)
    } else {
        Err(mistakes)
    }
}
