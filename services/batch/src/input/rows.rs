//! Rows of a file of any format, from any place.

use std::io::{self, Read};

use csv::ByteRecord;
use motet_rows::{Code, Failure, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cells::Cells;
use super::expand::{Expanded, expand};
use super::lines::{Line, Lines};
use super::{Compression, InputFormat, ROW_BYTES_MAX, openai};
use crate::error::BatchError;
use crate::files::{FileBytes, InputFile};
#[cfg(feature = "parquet")]
use crate::parquet::ParquetRows;

/// Place of a row: in the bytes of a file as they are when expanded, and in its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Bytes before it.
    pub(crate) offset: u64,
    /// Number of its first line; the first one is 1.
    pub(crate) line: u64,
}

impl Place {
    /// The beginning of a file.
    pub(crate) const START: Self = Self { offset: 0, line: 1 };

    /// The row with this number of a file without lines.
    pub(crate) const fn of_row(number: u64) -> Self {
        Self {
            offset: 0,
            line: number + 1,
        }
    }
}

/// A row as it was read.
#[derive(Debug)]
pub(crate) struct InputRow {
    /// Place of its beginning.
    pub(crate) place: Place,
    /// Its size in memory, about.
    pub(crate) bytes: usize,
    /// The row, or why it is none. What can be read of a broken one is kept: its line, or cells.
    pub(crate) row: Result<Row, (Map<String, Value>, Failure)>,
}

/// Rows of one file.
pub(crate) struct RowReader {
    file: InputFile,
    format: InputFormat,
    source: Source,
    /// Number of the next row.
    next: u64,
    /// The line of the last row, for messages.
    line: u64,
}

enum Source {
    Lines(Lines<Expanded>),
    Cells(Cells<Expanded>),
    #[cfg(feature = "parquet")]
    Parquet(ParquetRows),
}

impl RowReader {
    /// Returns the rows of a file, through `seen`, which may look at its bytes as they are read.
    ///
    /// # Errors
    /// A file that cannot be read, or is broken at its beginning.
    pub(crate) fn open<R: Read + Send + 'static>(
        file: &InputFile,
        format: InputFormat,
        seen: impl FnOnce(FileBytes) -> R,
    ) -> Result<Self, BatchError> {
        let opened = || {
            if format == InputFormat::Parquet {
                return Source::parquet(file, 0);
            }
            let expanded = expand(seen(file.reader(0)?), Compression::of(file.path()))?;
            Source::new(expanded, format, Place::START, None)
        };
        let source = opened().map_err(|error| file.broken(0, &error))?;
        Ok(Self::at(file, format, source, 0))
    }

    fn at(file: &InputFile, format: InputFormat, source: Source, next: u64) -> Self {
        Self {
            file: file.clone(),
            format,
            source,
            next,
            line: 0,
        }
    }

    /// Returns the rows of a file from the row with this number and place on.
    ///
    /// # Errors
    /// A file that cannot be read, or is broken before that row.
    pub(crate) fn open_at(
        file: &InputFile,
        format: InputFormat,
        number: u64,
        place: Place,
    ) -> Result<Self, BatchError> {
        let is_compressed = Compression::of(file.path()) != Compression::None;
        if number == 0 || is_compressed {
            let mut reader = Self::open(file, format, |bytes| bytes)?;
            reader.skip_to(number)?;
            return Ok(reader);
        }
        let header = match format {
            InputFormat::Csv => match Self::open(file, format, |bytes| bytes)?.source {
                Source::Cells(cells) => Some(cells.header().to_vec()),
                _ => None,
            },
            _ => None,
        };
        let opened = || {
            if format == InputFormat::Parquet {
                return Source::parquet(file, number);
            }
            let bytes = expand(file.reader(place.offset)?, Compression::None)?;
            Source::new(bytes, format, place, header)
        };
        let source = opened().map_err(|error| file.broken(place.line, &error))?;
        Ok(Self::at(file, format, source, number))
    }

    /// Returns the number of rows of a file of Parquet.
    ///
    /// # Errors
    /// A file that cannot be read, or is no Parquet.
    pub(crate) fn rows_of_parquet(file: &InputFile) -> Result<u64, BatchError> {
        #[cfg(feature = "parquet")]
        let rows = crate::parquet::rows_of(file);
        #[cfg(not(feature = "parquet"))]
        let rows = Source::parquet(file, 0).map(|_| 0);
        rows.map_err(|error| file.broken(0, &error))
    }

    /// Returns the number of the next row.
    pub(crate) const fn number(&self) -> u64 {
        self.next
    }

    /// Returns whether a row can be gone to without reading those before it.
    pub(crate) fn is_seekable(&self) -> bool {
        Compression::of(self.file.path()) == Compression::None
    }

    /// Reads up to the row with this number.
    ///
    /// # Errors
    /// As those of [`next`](Self::next).
    pub(crate) fn skip_to(&mut self, number: u64) -> Result<(), BatchError> {
        while self.next < number {
            if self.next_place()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads a row, and returns only its place.
    ///
    /// # Errors
    /// As those of [`next`](Self::next).
    pub(crate) fn next_place(&mut self) -> Result<Option<Place>, BatchError> {
        let read = match &mut self.source {
            Source::Lines(lines) => lines.next().map(|line| line.map(|line| line.place)),
            Source::Cells(cells) => cells.next().map(|record| record.map(|(place, _)| place)),
            #[cfg(feature = "parquet")]
            Source::Parquet(rows) => {
                let place = Place::of_row(self.next);
                rows.next().map(|row| row.map(|_| place))
            }
        };
        let read = read.map_err(|error| self.file.broken(self.line, &error))?;
        self.passed(read);
        Ok(read)
    }

    /// Returns the next row.
    ///
    /// # Errors
    /// A file that is broken, with the last line that could be read.
    pub(crate) fn next(&mut self) -> Result<Option<InputRow>, BatchError> {
        let format = self.format;
        let read = match &mut self.source {
            Source::Lines(lines) => lines
                .next()
                .map(|line| line.map(|line| of_line(line, format))),
            Source::Cells(cells) => {
                let record = cells.next();
                record.map(|read| read.map(|(place, r)| of_record(place, &r, cells.header())))
            }
            #[cfg(feature = "parquet")]
            Source::Parquet(rows) => {
                let place = Place::of_row(self.next);
                let of_values = |(values, bytes)| InputRow {
                    place,
                    bytes,
                    row: Ok(Row {
                        values,
                        is_cells: false,
                    }),
                };
                rows.next().map(|row| row.map(of_values))
            }
        };
        let read = read.map_err(|error| self.file.broken(self.line, &error))?;
        self.passed(read.as_ref().map(|row| row.place));
        Ok(read)
    }

    fn passed(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            self.next += 1;
            self.line = place.line;
        }
    }
}

impl Source {
    #[cfg(feature = "parquet")]
    fn parquet(file: &InputFile, first: u64) -> io::Result<Self> {
        Ok(Self::Parquet(ParquetRows::open(file, first)?))
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(_: &InputFile, _: u64) -> io::Result<Self> {
        let message = "this build has no Parquet: build motet with its feature `parquet`";
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    fn new(
        reader: Expanded,
        format: InputFormat,
        place: Place,
        header: Option<Vec<String>>,
    ) -> io::Result<Self> {
        Ok(match format {
            InputFormat::Csv => Self::Cells(Cells::new(reader, place, header)?),
            _ => Self::Lines(Lines::new(reader, place)),
        })
    }
}

fn of_line(line: Line, format: InputFormat) -> InputRow {
    let bytes = line.bytes.len();
    let row = match line.is_too_long {
        true => Err(format!("the line has more than {ROW_BYTES_MAX} bytes")),
        false => object(&line.bytes),
    };
    // A line that is no object is kept as a text, but not one that is too long.
    let kept = || match line.is_too_long {
        true => Map::new(),
        false => {
            let text = String::from_utf8_lossy(&line.bytes).into_owned();
            Map::from_iter([("line".to_owned(), Value::String(text))])
        }
    };
    let row = match row {
        Err(reason) => {
            let message = format!("line {}: {reason}", line.place.line);
            Err((kept(), Failure::new(Code::InvalidArgument, message)))
        }
        Ok(values) if format == InputFormat::Openai => {
            openai::row_of(values.clone()).map_err(|mut failure| {
                failure.message = format!("line {}: {}", line.place.line, failure.message);
                (values, failure)
            })
        }
        Ok(values) => Ok(Row {
            values,
            is_cells: format.is_cells(),
        }),
    };
    InputRow {
        place: line.place,
        bytes,
        row,
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let column = error.valid_up_to() + 1;
        format!("is not UTF-8 from column {column} on")
    })?;
    match serde_json::from_str(text) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err("is JSON, but no object".to_owned()),
        Err(error) => {
            let said = error.to_string();
            // The line is that of the text, which is one line.
            let said = said
                .rsplit_once(" at line ")
                .map_or(&*said, |(what, _)| what);
            Err(format!("is not JSON: {said} at column {}", error.column()))
        }
    }
}

fn of_record(place: Place, record: &ByteRecord, header: &[String]) -> InputRow {
    let cell = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    let named = header.iter().zip(record.iter());
    let values: Map<String, Value> = named.map(|(n, b)| (n.clone(), cell(b))).collect();
    let refused = |reason: String| {
        let message = format!("line {}: {reason}", place.line);
        Failure::new(Code::InvalidArgument, message)
    };
    let bad = record.iter().position(|b| std::str::from_utf8(b).is_err());
    let row = if record.len() != header.len() {
        let (cells, columns) = (record.len(), header.len());
        Err(refused(format!("has {cells} cells, the header {columns}")))
    } else if let Some(at) = bad {
        Err(refused(format!("column `{}` is not UTF-8", header[at])))
    } else if record.as_slice().len() > ROW_BYTES_MAX {
        Err(refused(format!("has more than {ROW_BYTES_MAX} bytes")))
    } else {
        Ok(())
    };
    InputRow {
        place,
        bytes: record.as_slice().len(),
        row: match row {
            Ok(()) => Ok(Row {
                values,
                is_cells: true,
            }),
            Err(failure) => Err((values, failure)),
        },
    }
}
