//! Rows in JSON as columns, each value with its levels: how much of its path is there, and at which
//! of its lists it goes on.

use base64::prelude::{BASE64_STANDARD, Engine};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use serde_json::Value;

use crate::columns::{Node, Scalar};

/// Values of one column of single values.
#[derive(Debug)]
pub(super) struct Leaf {
    values: Values,
    defined: Vec<i16>,
    repeated: Vec<i16>,
    /// It is within a list.
    is_repeated: bool,
}

#[derive(Debug)]
enum Values {
    Bytes(Vec<ByteArray>, bool),
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
}

/// Returns empty columns of these types, in the order in which Parquet has them.
pub(super) fn leaves(columns: &[(String, Node)]) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for (_, node) in columns {
        add_leaves(node, false, &mut leaves);
    }
    leaves
}

fn add_leaves(node: &Node, is_repeated: bool, leaves: &mut Vec<Leaf>) {
    match node {
        Node::Scalar(scalar) => leaves.push(Leaf {
            values: match scalar {
                Scalar::Text => Values::Bytes(Vec::new(), false),
                Scalar::Bytes => Values::Bytes(Vec::new(), true),
                Scalar::Bool => Values::Bool(Vec::new()),
                Scalar::Int32 => Values::Int32(Vec::new()),
                Scalar::Int64 | Scalar::UInt64 => Values::Int64(Vec::new()),
                Scalar::Float => Values::Float(Vec::new()),
                Scalar::Double => Values::Double(Vec::new()),
            },
            defined: Vec::new(),
            repeated: Vec::new(),
            is_repeated,
        }),
        Node::List(inner, _) => add_leaves(inner, true, leaves),
        Node::Struct(fields) => {
            for (_, node) in fields {
                add_leaves(node, is_repeated, leaves);
            }
        }
    }
}

/// Adds a value to its columns, which begin at `at`; returns where those of the next value do.
/// `defined` is how much of its path is there, `repeated` the list at which it goes on, `lists` the
/// number of lists around it.
pub(super) fn shred(
    leaves: &mut [Leaf],
    at: usize,
    node: &Node,
    value: &Value,
    (defined, repeated, lists): (i16, i16, i16),
) -> usize {
    match (node, value) {
        (Node::Scalar(_), value) => {
            let leaf = &mut leaves[at];
            let is_there = leaf.values.push(value);
            leaf.defined.push(defined + i16::from(is_there));
            leaf.repeated.push(repeated);
            at + 1
        }
        (Node::List(inner, _), Value::Array(list)) if !list.is_empty() => {
            let mut next = at;
            for (index, element) in list.iter().enumerate() {
                let repeated = if index == 0 { repeated } else { lists + 1 };
                let levels = (defined + 2, repeated, lists + 1);
                next = shred(leaves, at, inner, element, levels);
            }
            next
        }
        (Node::Struct(fields), Value::Object(object)) => {
            fields.iter().fold(at, |at, (name, node)| {
                let value = object.get(name).unwrap_or(&Value::Null);
                shred(leaves, at, node, value, (defined + 1, repeated, lists))
            })
        }
        (Node::List(..), Value::Array(_)) => absent(leaves, at, node, defined + 1, repeated),
        (_, _) => absent(leaves, at, node, defined, repeated),
    }
}

/// Adds to all columns of `node` that there is nothing.
fn absent(leaves: &mut [Leaf], at: usize, node: &Node, defined: i16, repeated: i16) -> usize {
    match node {
        Node::Scalar(_) => {
            leaves[at].defined.push(defined);
            leaves[at].repeated.push(repeated);
            at + 1
        }
        Node::List(inner, _) => absent(leaves, at, inner, defined, repeated),
        Node::Struct(fields) => fields.iter().fold(at, |at, (_, node)| {
            absent(leaves, at, node, defined, repeated)
        }),
    }
}

impl Values {
    /// Adds a value, unless it is null or of another type.
    fn push(&mut self, value: &Value) -> bool {
        fn add<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
            let is_there = value.is_some();
            values.extend(value);
            is_there
        }
        match self {
            Self::Bytes(values, true) => {
                let bytes = value
                    .as_str()
                    .and_then(|text| BASE64_STANDARD.decode(text).ok());
                add(values, bytes.map(ByteArray::from))
            }
            Self::Bytes(values, false) => match value {
                Value::Null => false,
                Value::String(text) => add(values, Some(ByteArray::from(text.as_str()))),
                // A column of texts has other values as JSON.
                value => add(
                    values,
                    Some(ByteArray::from(value.to_string().into_bytes())),
                ),
            },
            Self::Bool(values) => add(values, value.as_bool()),
            Self::Int32(values) => {
                let number = value.as_i64().and_then(|number| number.try_into().ok());
                add(values, number)
            }
            Self::Int64(values) => {
                // Numbers without a sign have the same bits.
                let number = value.as_u64().map(|number| number as i64);
                add(values, value.as_i64().or(number))
            }
            Self::Float(values) => add(values, value.as_f64().map(|number| number as f32)),
            Self::Double(values) => add(values, value.as_f64()),
        }
    }
}

impl Leaf {
    /// Writes the column.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let defined = Some(&self.defined[..]);
        let repeated = self.is_repeated.then_some(&self.repeated[..]);
        match (writer, &self.values) {
            (ColumnWriter::ByteArrayColumnWriter(writer), Values::Bytes(values, _)) => {
                writer.write_batch(values, defined, repeated)?;
            }
            (ColumnWriter::BoolColumnWriter(writer), Values::Bool(values)) => {
                writer.write_batch(values, defined, repeated)?;
            }
            (ColumnWriter::Int32ColumnWriter(writer), Values::Int32(values)) => {
                writer.write_batch(values, defined, repeated)?;
            }
            (ColumnWriter::Int64ColumnWriter(writer), Values::Int64(values)) => {
                writer.write_batch(values, defined, repeated)?;
            }
            (ColumnWriter::FloatColumnWriter(writer), Values::Float(values)) => {
                writer.write_batch(values, defined, repeated)?;
            }
            (ColumnWriter::DoubleColumnWriter(writer), Values::Double(values)) => {
                writer.write_batch(values, defined, repeated)?;
            }
            _ => {
                let message = "a column has another type than its values";
                return Err(ParquetError::General(message.to_owned()));
            }
        }
        Ok(())
    }
}
