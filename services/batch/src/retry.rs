//! Rows with errors, once more.

use std::path::PathBuf;

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
    let files: Vec<PathBuf> = (0..plan.units.len())
        .map(|unit| folder.errors(unit))
        .filter(|path| path.exists())
        .collect();
    if files.is_empty() {
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
    let names = files.iter().map(|path| path.to_string_lossy().into_owned());
    Ok((names.collect(), format, plan.settings))
}
