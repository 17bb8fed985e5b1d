//! Inputs of a batch: files, their formats, and the rows in them.
//!
//! * `names`: the files that patterns name; `stdin`: standard input, kept in a file.
//! * `expand`: compressed files.
//! * `lines`: lines, with their places; `cells`: records of CSV.
//! * `origin`: an input that was found, a file or a query.
//! * `rows`: rows of any format, from any place; `openai`: rows of OpenAI's batch files.

mod cells;
mod expand;
mod lines;
mod names;
mod openai;
mod origin;
mod rows;
mod stdin;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use names::{expand_names, format_of};
pub(crate) use openai::INPUT as OPENAI_INPUT;
pub(crate) use origin::Origin;
pub(crate) use rows::{InputRow, Place, RowReader};
pub(crate) use stdin::keep as keep_stdin;

/// Most bytes of a row.
pub(crate) const ROW_BYTES_MAX: usize = 64 << 20;

/// Form of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// One object of JSON a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// Columns of Parquet.
    Parquet,
    /// Requests of OpenAI's batch files, one a line.
    Openai,
    /// Rows with errors of a batch, one object of JSON a line, whose values are texts of cells.
    Cells,
    /// Rows of a query of Postgres.
    Postgres,
}

impl InputFormat {
    /// Returns whether columns have types.
    pub(crate) const fn is_typed(self) -> bool {
        matches!(self, Self::Parquet | Self::Postgres)
    }

    /// Returns whether values are texts of cells.
    pub(crate) const fn is_cells(self) -> bool {
        matches!(self, Self::Csv | Self::Cells)
    }
}

/// Compression of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Returns the compression that a file's name says.
    pub(crate) fn of(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }
}
