//! Rows of a file as JSON.

use std::io;

use base64::prelude::{BASE64_STANDARD, Engine};
use parquet::basic::{ConvertedType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::ColumnDescPtr;
use serde_json::{Map, Number, Value};

use super::chunks::Chunks;
use super::zstd::File;
use crate::files::InputFile;

/// Rows of a file, from any row on.
pub(crate) struct ParquetRows(RowIter<'static>);

impl ParquetRows {
    /// Returns the rows of a file from the row with this number on.
    ///
    /// # Errors
    /// A file that cannot be read, or is no Parquet.
    pub(crate) fn open(file: &InputFile, first: u64) -> io::Result<Self> {
        let chunks = Chunks::new(file);
        let reader = SerializedFileReader::new(chunks.clone()).map_err(broken)?;
        let (mut group, mut before) = (0, 0);
        for (index, about) in reader.metadata().row_groups().iter().enumerate() {
            let rows = about.num_rows().try_into().unwrap_or(0u64);
            if first < before + rows {
                group = index;
                break;
            }
            before += rows;
            group = index + 1;
        }
        let mut number = 0;
        let from = move |_: &_, _| {
            number += 1;
            number > group
        };
        let options = ReadOptionsBuilder::new()
            .with_predicate(Box::new(from))
            .build();
        let reader = SerializedFileReader::new_with_options(chunks.clone(), options);
        let reader = reader.and_then(|reader| File::new(reader, chunks));
        let mut rows = RowIter::from_file_into(Box::new(reader.map_err(broken)?));
        for _ in before..first {
            if let Some(row) = rows.next() {
                row.map_err(broken)?;
            }
        }
        Ok(Self(rows))
    }

    /// Returns the next row, and its size in memory, about.
    ///
    /// # Errors
    /// A page that cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Map<String, Value>, usize)>> {
        match self.0.next() {
            None => Ok(None),
            Some(row) => {
                let mut bytes = 0;
                let values = object(&row.map_err(broken)?, &mut bytes);
                Ok(Some((values, bytes)))
            }
        }
    }
}

/// Returns the number of rows of a file.
///
/// # Errors
/// A file that cannot be read, or is no Parquet.
pub(crate) fn rows_of(file: &InputFile) -> io::Result<u64> {
    let reader = SerializedFileReader::new(Chunks::new(file)).map_err(broken)?;
    let rows = reader.metadata().file_metadata().num_rows();
    Ok(rows.try_into().unwrap_or_default())
}

/// Returns the top-level columns with bytes that may or may not be texts: old writers leave the
/// type of text out.
///
/// # Errors
/// A file that cannot be read, or is no Parquet.
pub(crate) fn columns_of_bytes(file: &InputFile) -> io::Result<Vec<String>> {
    let reader = SerializedFileReader::new(Chunks::new(file)).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let is_untyped = |column: &&ColumnDescPtr| {
        let is_bytes = matches!(
            column.physical_type(),
            PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY
        );
        is_bytes
            && column.logical_type_ref().is_none()
            && column.converted_type() == ConvertedType::NONE
    };
    let columns = schema.columns().iter().filter(is_untyped);
    let names = columns.filter_map(|column| column.path().parts().first().cloned());
    Ok(names.collect())
}

fn broken(error: ParquetError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

fn object(row: &Row, bytes: &mut usize) -> Map<String, Value> {
    let columns = row.get_column_iter();
    columns
        .map(|(name, field)| (name.clone(), value(field, bytes)))
        .collect()
}

fn value(field: &Field, bytes: &mut usize) -> Value {
    *bytes += 16;
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float16(value) => number(value.to_f32().to_string()),
        Field::Float(value) => number(value.to_string()),
        Field::Double(value) => number(value.to_string()),
        Field::Str(text) => {
            *bytes += text.len();
            Value::String(text.clone())
        }
        Field::Bytes(value) => {
            *bytes += value.len() * 4 / 3;
            Value::String(BASE64_STANDARD.encode(value.data()))
        }
        Field::Group(row) => Value::Object(object(row, bytes)),
        Field::ListInternal(list) => list.elements().iter().map(|f| value(f, bytes)).collect(),
        Field::MapInternal(map) => {
            let mut entries = Map::new();
            for (key, entry) in map.entries() {
                let name = match key {
                    Field::Str(text) => text.clone(),
                    key => key.to_string(),
                };
                entries.insert(name, value(entry, bytes));
            }
            Value::Object(entries)
        }
        // Dates, times and decimals.
        field => Value::String(field.to_string()),
    }
}

/// Returns the number with these digits: those of 32 bits are not made longer.
fn number(digits: String) -> Value {
    let number: Option<f64> = digits.parse().ok();
    let number = number.and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}
