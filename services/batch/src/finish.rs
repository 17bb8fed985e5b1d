//! The whole of a batch, counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::BatchError;
use crate::files::{Digest, InputFile};
use crate::folder::Folder;
use crate::plan::Plan;
use crate::settings::ErrorPlace;

/// Contents of the file `_SUCCESS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// Rows of the input.
    pub rows: u64,
    /// Rows with an answer.
    pub answers: u64,
    /// Rows with an error.
    pub errors: u64,
    /// Files of the input, with their SHA-256, or the tags of their versions where they are objects
    /// (`etag:`, and the tag).
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
        let digest = match &input.digest {
            Digest::Sha256(digest) => digest.clone(),
            Digest::Etag(tag) => format!("etag:{tag}"),
        };
        success.inputs.insert(input.path.clone(), digest);
    }
    let mut missing = Vec::new();
    let records = folder.settled(plan.units.len(), format)?;
    let firsts = plan.units.iter().scan(0, |before, unit| {
        let first = *before;
        *before += unit.rows;
        Some(first)
    });
    let found = folder.rows_from(&firsts.collect::<Vec<u64>>())?;
    for (index, (unit, record)) in plan.units.iter().zip(records).enumerate() {
        let Some(record) = record else {
            missing.push(index);
            continue;
        };
        if record.rows != unit.rows {
            return Err(BatchError::cannot(format!(
                "unit {index} has {} rows, and the plan {} for it",
                record.rows, unit.rows
            )));
        }
        let paths = folder.unit(index, format);
        let mut files = Vec::new();
        match &found {
            None => files.push((paths.part, Some(&record.sha256))),
            Some(found) => {
                let expected = match plan.settings.errors {
                    ErrorPlace::Rows => record.rows,
                    ErrorPlace::File => record.rows - record.errors,
                };
                if found[index] != expected {
                    return Err(BatchError::cannot(format!(
                        "{} changed since it was written: it has {} rows of unit {index}, not \
                         {expected}",
                        folder.path().display(),
                        found[index],
                    )));
                }
            }
        }
        files.push((paths.errors, record.errors_sha256.as_ref()));
        for (path, expected) in files {
            let Some(expected) = expected else {
                continue;
            };
            let found = InputFile::find(folder.files(), &path)?.sha256()?;
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
    folder.sweep(true)?;
    let path = folder.success();
    if !folder.create(&path, &success)? {
        let there: Option<Success> = folder.read(&path)?;
        if there.as_ref() != Some(&success) {
            let path = path.display();
            return Err(BatchError::cannot(format!("{path} is of another batch")));
        }
    }
    Ok(success)
}
