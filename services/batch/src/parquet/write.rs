//! A part.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use serde_json::Value;

use super::schema::schema;
use super::shred::{leaves, shred};
use crate::columns::Node;

/// Bytes of rows, as lines of JSON, that become one row group.
const GROUP_BYTES: usize = 16 << 20;

/// Writes lines of JSON as rows of Parquet.
pub(crate) struct ParquetWriter<W: Write + Send> {
    columns: Vec<(String, Node)>,
    writer: SerializedFileWriter<W>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// When nothing can be written, or columns have names that Parquet cannot have.
    pub(crate) fn new(to: W, columns: Vec<(String, Node)>) -> io::Result<Self> {
        // The name of the writer's program is in every file: no version, which is in the plan.
        let properties = WriterProperties::builder()
            .set_created_by("motet".to_owned())
            .set_compression(Compression::SNAPPY)
            .build();
        let schema = schema(&columns).map_err(failed)?;
        let writer = SerializedFileWriter::new(to, schema, Arc::new(properties));
        Ok(Self {
            columns,
            writer: writer.map_err(failed)?,
            lines: Vec::new(),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add(&mut self, line: &[u8]) -> io::Result<()> {
        self.lines.extend_from_slice(line);
        match self.lines.len() >= GROUP_BYTES {
            true => self.group(),
            false => Ok(()),
        }
    }

    /// Ends the file, and returns what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.lines.is_empty() {
            self.group()?;
        }
        self.writer.into_inner().map_err(failed)
    }

    fn group(&mut self) -> io::Result<()> {
        let mut leaves = leaves(&self.columns);
        for line in std::mem::take(&mut self.lines).split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let row: Value = serde_json::from_slice(line)?;
            let mut at = 0;
            for (name, node) in &self.columns {
                let value = row.get(name).unwrap_or(&Value::Null);
                at = shred(&mut leaves, at, node, value, (0, 0, 0));
            }
        }
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for leaf in &leaves {
                let Some(mut column) = group.next_column()? else {
                    break;
                };
                leaf.write(column.untyped())?;
                column.close()?;
            }
            group.close().map(drop)
        };
        write().map_err(failed)
    }
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error.to_string()),
    }
}
