//! Settings of a batch.

use serde::{Deserialize, Serialize};

/// Settings, which decide what is written. They are a part of the plan: others are another batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Pairs of an input of the pipeline and the column that feeds it.
    pub map: Vec<(String, String)>,
    /// The column that says which row it is, written first.
    pub id: Option<String>,
    /// Columns that are written with the answers.
    pub keep: Vec<String>,
    /// The outputs that are written, or parts of them by path; all outputs if there are none.
    pub columns: Vec<String>,
    /// Form of the parts.
    pub format: OutputFormat,
    /// Place of rows with errors.
    pub errors: ErrorPlace,
    /// Rows of a unit, at most.
    pub unit: u64,
}

/// A query of a database, whose rows are the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryText {
    /// The query.
    pub text: String,
    /// The column that orders its rows: each row has another value, and none is null.
    pub key: String,
}

/// Form of the parts of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// One object of JSON a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// Columns of Parquet.
    Parquet,
    /// Answers of OpenAI's batch files, one a line.
    Openai,
    /// Rows of a table of Postgres.
    Postgres,
}

impl OutputFormat {
    /// Returns what the names of files end in.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Openai => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            // Records name the rows of the table so.
            Self::Postgres => "rows",
        }
    }
}

/// Place of rows with errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorPlace {
    /// Among the answers, in the place of their row.
    Rows,
    /// In files of their own, as whole rows of the input, which can be tried again.
    File,
}

impl Settings {
    /// Returns the columns that are written with the answers, the id first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &str> {
        let id = self.id.as_deref();
        let others = self.keep.iter().map(String::as_str);
        id.into_iter()
            .chain(others.filter(move |name| Some(*name) != id))
    }
}
