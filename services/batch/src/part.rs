//! A unit being written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::BatchError;
use crate::files::{Record, Staged, UnitPaths, Unwritten};
use crate::folder::Folder;
use crate::hash::hex;
use crate::output::Lines;
#[cfg(feature = "parquet")]
use crate::parquet::ParquetWriter;
#[cfg(feature = "parquet")]
use crate::settings::OutputFormat;

/// The files of a unit that is being computed.
pub(crate) struct PartWriter {
    folder: Folder,
    paths: UnitPaths,
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
    file: Box<dyn Staged>,
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
        let paths = folder.unit(unit, lines.format());
        let file = Digested::create(folder, &paths.part)?;
        let part = Part::begin(file, lines)?;
        Ok(Self {
            folder: folder.clone(),
            paths,
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
                let errors = Digested::create(&self.folder, &self.paths.errors)?;
                self.errors = Some(errors);
            }
            if let Some(errors) = &mut self.errors {
                errors.add(whole)?;
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
        let part = self.part.finish()?;
        let (errors, errors_sha256) = match self.errors {
            Some(errors) => (Some(errors.file), Some(hex(errors.digest))),
            None => (None, None),
        };
        self.folder.commit(Unwritten {
            paths: self.paths,
            part: part.file,
            errors,
            record: Record {
                rows: self.rows,
                errors: self.errors_count,
                sha256: hex(part.digest),
                errors_sha256,
                staged: None,
            },
        })
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
        file.add(&header.map_err(|error| BatchError::writing(&file.path, &error))?)?;
        Ok(Self::Lines(file))
    }

    fn write(&mut self, line: &[u8]) -> Result<(), BatchError> {
        match self {
            Self::Lines(file) => file.add(line),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer, path) => {
                let written = writer.add(line);
                written.map_err(|error| BatchError::writing(path, &error))
            }
        }
    }

    fn finish(self) -> Result<Digested, BatchError> {
        match self {
            Self::Lines(file) => Ok(file),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer, path) => {
                let written = writer.finish();
                written.map_err(|error| BatchError::writing(&path, &error))
            }
        }
    }
}

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Digested {
    fn create(folder: &Folder, path: &Path) -> Result<Self, BatchError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            file: folder.stage(&name)?,
            digest: Sha256::new(),
            path: path.to_owned(),
        })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        let written = self.write_all(bytes);
        written.map_err(|error| BatchError::writing(&self.path, &error))
    }
}
