//! The files of a unit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Staged;

/// Names of the files of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitPaths {
    /// Its answers.
    pub(crate) part: PathBuf,
    /// Its rows with errors, where they have a file.
    pub(crate) errors: PathBuf,
    /// Its record.
    pub(crate) record: PathBuf,
}

/// Names of what workers need beside units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnPaths {
    /// The folder of files that have no names yet.
    pub(crate) temporary: PathBuf,
    /// The lock of those who commit units, where there are locks.
    pub(crate) lock: PathBuf,
}

/// Counts of a unit that is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Rows of the input.
    pub(crate) rows: u64,
    /// Those of them that have an error.
    pub(crate) errors: u64,
    /// SHA-256 of the part.
    pub(crate) sha256: String,
    /// SHA-256 of the file of rows with errors, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errors_sha256: Option<String>,
    /// The places of both in a bucket, until they have their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) staged: Option<StagedFiles>,
}

/// Objects of a unit that have no names yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagedFiles {
    pub(crate) part: PathBuf,
    pub(crate) errors: Option<PathBuf>,
}

/// A unit that is computed, whose files have no names yet.
pub(crate) struct Unwritten {
    pub(crate) paths: UnitPaths,
    pub(crate) part: Box<dyn Staged>,
    pub(crate) errors: Option<Box<dyn Staged>>,
    pub(crate) record: Record,
}
