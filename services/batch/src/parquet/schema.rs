//! Columns of parts as Parquet declares them.

use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

use crate::columns::{Node, Scalar};

/// Returns the schema of these columns.
///
/// # Errors
/// Names that Parquet cannot have.
pub(super) fn schema(columns: &[(String, Node)]) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|(name, node)| declared(node, name));
    let schema = Type::group_type_builder("rows")
        .with_fields(fields.collect::<Result<_, _>>()?)
        .build()?;
    Ok(Arc::new(schema))
}

/// Returns the column of this name as Parquet declares it.
fn declared(node: &Node, name: &str) -> Result<TypePtr, ParquetError> {
    let optional = Repetition::OPTIONAL;
    let declared = match node {
        Node::Scalar(scalar) => {
            let (physical, converted) = physical(*scalar);
            Type::primitive_type_builder(name, physical)
                .with_repetition(optional)
                .with_converted_type(converted)
                .build()?
        }
        Node::List(inner, _) => {
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![declared(inner, "element")?])
                .build()?;
            Type::group_type_builder(name)
                .with_repetition(optional)
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![Arc::new(list)])
                .build()?
        }
        Node::Struct(fields) => {
            let fields = fields.iter().map(|(name, node)| declared(node, name));
            Type::group_type_builder(name)
                .with_repetition(optional)
                .with_fields(fields.collect::<Result<_, _>>()?)
                .build()?
        }
    };
    Ok(Arc::new(declared))
}

const fn physical(scalar: Scalar) -> (Physical, ConvertedType) {
    match scalar {
        Scalar::Text => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
        Scalar::Bytes => (Physical::BYTE_ARRAY, ConvertedType::NONE),
        Scalar::Bool => (Physical::BOOLEAN, ConvertedType::NONE),
        Scalar::Int32 => (Physical::INT32, ConvertedType::NONE),
        Scalar::Int64 => (Physical::INT64, ConvertedType::NONE),
        Scalar::UInt64 => (Physical::INT64, ConvertedType::UINT_64),
        Scalar::Float => (Physical::FLOAT, ConvertedType::NONE),
        Scalar::Double => (Physical::DOUBLE, ConvertedType::NONE),
    }
}
