//! The whole of a batch, counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::BatchError;
use crate::folder::{Folder, read_json};
use crate::part::Record;
use crate::plan::{Plan, digest};
use crate::temporary;

/// Contents of the file `_SUCCESS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// Rows of the input.
    pub rows: u64,
    /// Rows with an answer.
    pub answers: u64,
    /// Rows with an error.
    pub errors: u64,
    /// Files of the input, with their SHA-256.
    pub inputs: BTreeMap<String, String>,
    /// Files of the output, with their SHA-256.
    pub outputs: BTreeMap<String, String>,
}

/// Checks that every unit is written, that its files are what was written, and that there are as
/// many rows as in the input; then writes `_SUCCESS`.
///
/// # Errors
/// [`Verdict::TryAgain`](crate::Verdict::TryAgain) where units are missing,
/// [`Verdict::Cannot`](crate::Verdict::Cannot) where a file is not what was written.
pub fn finish(folder: &Folder) -> Result<Success, BatchError> {
    let plan = Plan::of(folder)?;
    let format = plan.settings.format;
    let mut success = Success {
        rows: 0,
        answers: 0,
        errors: 0,
        inputs: BTreeMap::new(),
        outputs: BTreeMap::new(),
    };
    for input in &plan.inputs {
        let (path, digest) = (input.path.clone(), input.sha256.clone());
        success.inputs.insert(path, digest);
    }
    let mut missing = Vec::new();
    for (index, unit) in plan.units.iter().enumerate() {
        let Some(record) = Record::of(folder, index, format)? else {
            missing.push(index);
            continue;
        };
        if record.rows != unit.rows {
            return Err(BatchError::cannot(format!(
                "unit {index} has {} rows, and the plan {} for it",
                record.rows, unit.rows
            )));
        }
        let part = (folder.part(index, format), Some(&record.sha256));
        let errors = (folder.errors(index), record.errors_sha256.as_ref());
        for (path, expected) in [part, errors] {
            let Some(expected) = expected else {
                continue;
            };
            let (_, found) = digest(&path)?;
            if found != *expected {
                return Err(BatchError::cannot(format!(
                    "{} changed since it was written: its SHA-256 is {found}, not {expected}",
                    path.display()
                )));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            success.outputs.insert(name.into_owned(), found);
        }
        success.rows += record.rows;
        success.errors += record.errors;
    }
    if !missing.is_empty() {
        return Err(BatchError::try_again(format!(
            "{} of {} units are not written yet, the first is number {}",
            missing.len(),
            plan.units.len(),
            missing[0]
        )));
    }
    success.answers = success.rows - success.errors;
    if success.rows != plan.rows() {
        return Err(BatchError::cannot(format!(
            "there are {} rows, and {} in the input",
            success.rows,
            plan.rows()
        )));
    }
    temporary::sweep(&folder.temporary())?;
    let path = folder.success();
    if !folder.json("success", &success)?.link(&path)? {
        let there: Option<Success> = read_json(&path)?;
        if there.as_ref() != Some(&success) {
            let path = path.display();
            return Err(BatchError::cannot(format!("{path} is of another batch")));
        }
    }
    Ok(success)
}
