//! Rows with errors, once more.

use crate::error::BatchError;
use crate::folder::Folder;
use crate::input::InputFormat;
use crate::plan::Plan;
use crate::settings::{ErrorPlace, OutputFormat, Settings};

/// Returns the files with the rows of a batch that have errors, their format, and the settings of
/// the batch, for another one that tries them again.
///
/// # Errors
/// A batch that does not keep such rows, or that has none.
pub fn rows_with_errors(
    folder: &Folder,
) -> Result<(Vec<String>, InputFormat, Settings), BatchError> {
    let plan = Plan::of(folder)?;
    let path = folder.path().display();
    if plan.settings.errors != ErrorPlace::File {
        return Err(BatchError::cannot(format!(
            "{path} keeps no whole rows with errors: it was made without `--errors file`"
        )));
    }
    let units = folder.with_errors(plan.units.len())?;
    if units.is_empty() {
        return Err(BatchError::cannot(format!(
            "{path} has no rows with errors"
        )));
    }
    let is_cells = plan.inputs.iter().any(|input| input.format.is_cells());
    let format = match (plan.settings.format, is_cells) {
        (OutputFormat::Openai, _) => InputFormat::Openai,
        (_, true) => InputFormat::Cells,
        (_, false) => InputFormat::Jsonl,
    };
    let path = |unit| folder.errors(unit).to_string_lossy().into_owned();
    let names = units.into_iter().map(path).collect();
    Ok((names, format, plan.settings))
}
