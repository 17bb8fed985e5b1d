//! A unit being written.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::BatchError;
use crate::folder::{Folder, read_json};
use crate::output::Lines;
#[cfg(feature = "parquet")]
use crate::parquet::ParquetWriter;
use crate::plan::hex;
use crate::settings::OutputFormat;
use crate::temporary::Temporary;

/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

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
}

impl Record {
    /// Reads the record of a unit; `None` if the unit is not written.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub(crate) fn of(
        folder: &Folder,
        unit: usize,
        format: OutputFormat,
    ) -> Result<Option<Self>, BatchError> {
        // The part is what counts: the record comes before it.
        if !folder.part(unit, format).exists() {
            return Ok(None);
        }
        let path = folder.record(unit);
        let record = read_json(&path)?;
        record.map(Some).ok_or_else(|| {
            BatchError::cannot(format!(
                "{} is missing, but its part is there",
                path.display()
            ))
        })
    }
}

/// The files of a unit, which have no names yet.
pub(crate) struct PartWriter {
    folder: Folder,
    unit: usize,
    format: OutputFormat,
    part: Part,
    errors: Option<Digested>,
    rows: u64,
    errors_count: u64,
}

/// A part: lines as they are, or columns.
enum Part {
    Lines(Digested),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetWriter<Digested>>, PathBuf),
}

struct Digested {
    writer: BufWriter<Temporary>,
    digest: Sha256,
    /// For messages.
    path: PathBuf,
}

impl PartWriter {
    /// Begins a unit.
    ///
    /// # Errors
    /// When nothing can be written.
    pub(crate) fn begin(folder: &Folder, unit: usize, lines: &Lines) -> Result<Self, BatchError> {
        let format = lines.format();
        let path = folder.part(unit, format);
        let file = Digested::create(folder, path)?;
        let part = Part::begin(file, lines)?;
        Ok(Self {
            folder: folder.clone(),
            unit,
            format,
            part,
            errors: None,
            rows: 0,
            errors_count: 0,
        })
    }

    /// Adds a row: its line in the part, and that in the file of rows with errors. `is_error` says
    /// that it has one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add(
        &mut self,
        line: &[u8],
        whole: &[u8],
        is_error: bool,
    ) -> Result<(), BatchError> {
        self.part.write(line)?;
        if !whole.is_empty() {
            if self.errors.is_none() {
                let path = self.folder.errors(self.unit);
                self.errors = Some(Digested::create(&self.folder, path)?);
            }
            if let Some(errors) = &mut self.errors {
                errors.write(whole)?;
            }
        }
        self.rows += 1;
        self.errors_count += u64::from(is_error);
        Ok(())
    }

    /// Gives the files their names: all of them, or none. Returns `false` where another worker did
    /// so before.
    ///
    /// # Errors
    /// When they cannot be written. Nothing is there then.
    pub(crate) fn commit(self) -> Result<bool, BatchError> {
        let (part, sha256) = self.part.finish()?;
        let errors = self.errors.map(Digested::finish).transpose()?;
        let _others_wait = self.folder.lock()?;
        let path = self.folder.part(self.unit, self.format);
        if path.exists() {
            return Ok(false);
        }
        let errors_path = self.folder.errors(self.unit);
        let errors_sha256 = match errors {
            Some((errors, sha256)) => {
                errors.replace(&errors_path)?;
                Some(sha256)
            }
            None => {
                // One that was killed before its part had a name.
                match fs::remove_file(&errors_path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(BatchError::writing(&errors_path, &error));
                    }
                    _ => None,
                }
            }
        };
        let record = Record {
            rows: self.rows,
            errors: self.errors_count,
            sha256,
            errors_sha256,
        };
        let record = self.folder.json("record", &record)?;
        record.replace(&self.folder.record(self.unit))?;
        part.link(&path)
    }
}

impl Part {
    fn begin(mut file: Digested, lines: &Lines) -> Result<Self, BatchError> {
        #[cfg(feature = "parquet")]
        if lines.format() == OutputFormat::Parquet {
            let path = file.path.clone();
            let writer = ParquetWriter::new(file, lines.typed());
            let writer = writer.map_err(|error| BatchError::writing(&path, &error))?;
            return Ok(Self::Parquet(Box::new(writer), path));
        }
        let header = lines.header();
        file.write(&header.map_err(|error| BatchError::writing(&file.path, &error))?)?;
        Ok(Self::Lines(file))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), BatchError> {
        match self {
            Self::Lines(file) => file.write(line),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer, path) => {
                let written = writer.add(line);
                written.map_err(|error| BatchError::writing(path, &error))
            }
        }
    }

    fn finish(self) -> Result<(Temporary, String), BatchError> {
        match self {
            Self::Lines(file) => file.finish(),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer, path) => {
                let written = writer.finish();
                let file = written.map_err(|error| BatchError::writing(&path, &error))?;
                file.finish()
            }
        }
    }
}

#[cfg(feature = "parquet")]
impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Digested {
    fn create(folder: &Folder, path: PathBuf) -> Result<Self, BatchError> {
        let temporary = Temporary::create(&folder.temporary(), "part")?;
        Ok(Self {
            writer: BufWriter::with_capacity(PIECE, temporary),
            digest: Sha256::new(),
            path,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        self.digest.update(bytes);
        let written = self.writer.write_all(bytes);
        written.map_err(|error| BatchError::writing(&self.path, &error))
    }

    fn finish(self) -> Result<(Temporary, String), BatchError> {
        let written = self.writer.into_inner();
        let temporary =
            written.map_err(|error| BatchError::writing(&self.path, &error.into_error()))?;
        Ok((temporary, hex(self.digest)))
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}
